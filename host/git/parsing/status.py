"""What ``git status --porcelain=v2 --branch -z`` says. Pure."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Final

from msgspec import UNSET

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
# Fields before the path, by a line's first letter; after the path of a "2" comes the one that it had before.
_FIELDS: Final = {"1": 8, "2": 9, "u": 10, "?": 1}


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
    # Each record ends in a NUL; what follows the last one is nothing, or half of a record.
    records = iter(output.split(b"\0")[:-1])
    parser = _Parser(len(prefix))
    for record in records:
        parser.take(record, records)
    status = parser.status
    kept: list[Any] = [status.conflicted, status.staged, status.unstaged, status.untracked]
    status.truncated = is_cut or sum(len(listed) for listed in kept) > max_paths
    _keep_first(max_paths, kept)
    return status


class _Parser:
    def __init__(self, prefix_length: int) -> None:
        self.status = ParsedStatus()
        self._prefix_length = prefix_length

    def take(self, record: bytes, following: Iterator[bytes]) -> None:
        kind = chr(record[0])
        if kind == "#":
            self._take_header(record.decode(errors="surrogateescape"))
            return
        fields = record.split(b" ", _FIELDS[kind])
        path = self._path(fields[-1])
        if kind == "?":
            # A repository within this one is a directory, whose files are its own.
            self.status.untracked.append(path.removesuffix("/"))
        elif kind == "u":
            self.status.conflicted.append(path)
        else:
            origin = self._path(next(following, b"")) if kind == "2" else None
            self._take_change(fields[1].decode(), path, origin)

    def _take_change(self, columns: str, path: str, origin: str | None) -> None:
        for letter, changes in zip(columns, (self.status.staged, self.status.unstaged), strict=True):
            if letter != ".":
                changes.append(Change(path, STATUSES[letter], origin if origin and letter in "RC" else UNSET))

    def _take_header(self, line: str) -> None:
        _, name, value = line.split(" ", 2)
        match name:
            case "branch.oid" if value != "(initial)":
                self.status.oid = value
            case "branch.head" if value != "(detached)":
                self.status.branch = shown_path(value.encode(errors="surrogateescape"))
            case "branch.upstream":
                self.status.upstream = shown_path(value.encode(errors="surrogateescape"))
            case "branch.ab":
                ahead, behind = value.split(" ")
                self.status.ahead, self.status.behind = int(ahead), -int(behind)

    def _path(self, path: bytes) -> str:
        return shown_path(path[self._prefix_length :])


def _keep_first(count: int, lists: list[list[Any]]) -> None:
    for listed in lists:
        del listed[count:]
        count -= len(listed)
