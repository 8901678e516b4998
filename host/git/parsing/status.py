"""What ``git status --porcelain=v2 --branch -z`` says. Pure."""

from dataclasses import dataclass, field
from typing import Any, Final

from msgspec import UNSET

from host.git.parsing.rows import Row, parse_rows
from host.git.paths import shown_path
from host.protocol.messages.git import Change, ChangeStatus

STATUSES: Final[dict[str, ChangeStatus]] = {
    "A": "added",
    "M": "modified",
    "D": "deleted",
    "R": "renamed",
    "C": "copied",
    "T": "typechange",
}
_HEADER: Final = b"# "


@dataclass
class ParsedStatus:
    """Counts are None without an upstream that exists, ``oid`` and ``branch`` without a commit or a branch."""

    branch: str | None = None
    oid: str | None = None
    upstream: str | None = None
    ahead: int | None = None
    behind: int | None = None
    staged: list[Change] = field(default_factory=list)
    unstaged: list[Change] = field(default_factory=list)
    untracked: list[str] = field(default_factory=list)
    conflicted: list[str] = field(default_factory=list)
    truncated: bool = False


def parse_status(output: bytes, *, prefix: bytes, max_paths: int, is_cut: bool = False) -> ParsedStatus:
    """Parse; paths become relative to ``prefix``, below which all of them must lie.

    Of all lists together the first ``max_paths`` are kept: conflicts first, then what is staged, what is not, and
    what is untracked. ``is_cut``: the output ends somewhere.
    """
    status = ParsedStatus()
    while output.startswith(_HEADER):
        header, separator, output = output.partition(b"\0")
        if separator:
            _take_header(status, header)
    for row in parse_rows(output, prefix=prefix):
        _take_row(status, row)
    kept: list[Any] = [status.conflicted, status.staged, status.unstaged, status.untracked]
    status.truncated = is_cut or sum(len(listed) for listed in kept) > max_paths
    _keep_first(max_paths, kept)
    return status


def _take_header(status: ParsedStatus, header: bytes) -> None:
    _, name, value = header.split(b" ", 2)
    match name:
        case b"branch.oid" if value != b"(initial)":
            status.oid = value.decode()
        case b"branch.head" if value != b"(detached)":
            status.branch = shown_path(value)
        case b"branch.upstream":
            status.upstream = shown_path(value)
        case b"branch.ab":
            ahead, behind = value.split(b" ")
            status.ahead, status.behind = int(ahead), -int(behind)


def _take_row(status: ParsedStatus, row: Row) -> None:
    path = shown_path(row.path)
    if row.is_conflict:
        status.conflicted.append(path)
    elif row.is_untracked:
        # A repository within this one is a directory, whose files are its own.
        status.untracked.append(path)
    else:
        for letter, changes in ((row.staged, status.staged), (row.unstaged, status.unstaged)):
            if letter != ".":
                origin = shown_path(row.origin) if row.origin and letter in "RC" else UNSET
                changes.append(Change(path, STATUSES[letter], origin))


def _keep_first(count: int, lists: list[list[Any]]) -> None:
    for listed in lists:
        del listed[count:]
        count -= len(listed)
