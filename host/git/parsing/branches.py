"""What ``git for-each-ref`` says of branches. Pure."""

import re
from typing import Final

from host.git.parsing.log import commit_time
from host.git.paths import shown_path
from host.protocol.messages.git import Branch

_FIELDS: Final = (
    "%(HEAD)",
    "%(refname)",
    "%(objectname)",
    "%(upstream)",
    "%(upstream:track,nobracket)",
    "%(committerdate:unix)",
    "%(symref)",
    "%(contents:subject)",
)
# A subject holds no newline, and a ref's name neither.
FORMAT: Final = "%00".join(_FIELDS)
LOCAL: Final = "refs/heads/"
REMOTE: Final = "refs/remotes/"
_AHEAD: Final = re.compile(rb"ahead (\d+)")
_BEHIND: Final = re.compile(rb"behind (\d+)")


def parse_branches(output: bytes) -> tuple[str | None, list[Branch]]:
    """The current branch, if one with a commit is, and all of them. What points to another one is left out."""
    current: str | None = None
    branches: list[Branch] = []
    for line in output.split(b"\n")[:-1]:
        head, ref, oid, upstream, track, time, symbolic, subject = line.split(b"\0")
        if symbolic:
            continue
        ahead, behind = (None, None) if not upstream or track == b"gone" else _counts(track)
        branch = Branch(
            branch_name(ref),
            oid.decode(),
            branch_name(upstream) if upstream else None,
            ahead,
            behind,
            ref.startswith(b"refs/remotes/"),
            commit_time(time),
            subject.decode(errors="replace"),
        )
        branches.append(branch)
        if head == b"*":
            current = branch.name
    return current, branches


def branch_name(ref: bytes) -> str:
    """A branch's full name without the directory that it is in."""
    return shown_path(ref).removeprefix(LOCAL).removeprefix(REMOTE)


def _counts(track: bytes) -> tuple[int, int]:
    if not track:
        return 0, 0
    ahead, behind = _AHEAD.search(track), _BEHIND.search(track)
    return int(ahead[1]) if ahead else 0, int(behind[1]) if behind else 0
