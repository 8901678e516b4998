"""Errors that end a command or a start with a sentence for people."""


class ForPeople(Exception):
    """The message is a full sentence for a person: what happened, to what, what to do next."""


def system_refusal(error: OSError) -> str:
    """The same of what the operating system refuses, for a command or a start that it ends."""
    where = f" {error.filename}" if error.filename else ""
    return f"The system refused{where}: {error.strerror}. Check the disk's space and the permissions."
