"""Errors that end a command or a start with a sentence for people."""

import errno

_ADVICE = {
    errno.EISDIR: "It should be a file: move the directory away.",
    errno.ENOTDIR: "Part of that path should be a directory: move what is there away.",
    errno.ELOOP: "It is a link that is not followed: remove it.",
    errno.ENOSPC: "Free some space on the disk.",
    errno.ENOENT: "It is gone, or a link that leads nowhere: make it, or remove the link.",
}
_OTHERWISE = "Check the disk's space and the permissions."


class ForPeople(Exception):
    """The message is a full sentence for a person: what happened, to what, what to do next."""


def system_refusal(error: OSError) -> str:
    """The same of what the operating system refuses, for a command or a start that it ends."""
    # Of a renaming the second is the name that the reader knows.
    name = error.filename2 or error.filename
    where = f" {name}" if name else ""
    why = error.strerror or type(error).__name__
    return f"The system refused{where}: {why}. {_ADVICE.get(error.errno or 0, _OTHERWISE)}"
