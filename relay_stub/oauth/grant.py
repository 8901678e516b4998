"""What a sign-in leads to, by whichever way it came about."""

from dataclasses import dataclass

from host.protocol.messages.auth import ClientId


@dataclass(frozen=True)
class Grant:
    """This user lets this client act for them."""

    user_id: str
    client_id: ClientId
