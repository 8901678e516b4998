"""What ``git log`` says. Pure."""

from functools import lru_cache
from typing import Final

from host.core.clock import rfc3339
from host.protocol.messages.git import Commit

_FIELDS: Final = ("%H", "%P", "%an", "%at", "%s", "%b")
# Each commit ends in a NUL, too (-z).
FORMAT: Final = "tformat:" + "%x00".join(_FIELDS)


def parse_log(output: bytes) -> list[Commit]:
    """Parse; half of a commit at the end is left out."""
    fields = output.split(b"\0")[:-1]
    whole = len(fields) // len(_FIELDS) * len(_FIELDS)
    return [_commit(*fields[start : start + len(_FIELDS)]) for start in range(0, whole, len(_FIELDS))]


# Commits that were made together, by a rebase or a script, share seconds.
@lru_cache(maxsize=4096)
def commit_time(seconds: bytes) -> str:
    """RFC 3339 UTC with milliseconds, of seconds since the epoch. A time that no calendar holds becomes the epoch."""
    try:
        return rfc3339(int(seconds))
    except (ValueError, OverflowError, OSError):
        return rfc3339(0)


def _commit(sha: bytes, parents: bytes, author: bytes, time: bytes, subject: bytes, body: bytes) -> Commit:
    return Commit(
        sha.decode(),
        parents.decode().split(),
        author.decode(errors="replace"),
        commit_time(time),
        subject.decode(errors="replace"),
        body.decode(errors="replace").rstrip("\n"),
    )
