"""Names of the bus's subjects. Every one begins with the user, so that no name made from
what a peer sent can reach another user's connections."""


def machine(user_id: str, machine_key: str) -> str:
    return f"user.{user_id}.machine.{machine_key}"


def client(user_id: str, connection_id: str) -> str:
    return f"user.{user_id}.client.{connection_id}"


def project(user_id: str, project_id: str) -> str:
    return f"user.{user_id}.project.{project_id}"


def clients_of(user_id: str) -> str:
    return f"user.{user_id}.clients"


def session(user_id: str, session_id: str) -> str:
    """A sign-in, for the word that it was revoked."""
    return f"user.{user_id}.session.{session_id}"
