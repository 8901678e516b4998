"""What ``git status --porcelain=v2 -z`` says of paths, as names that can be given back to git. Pure."""

from collections.abc import Collection, Iterator
from typing import Final, NamedTuple

# Fields before the path, by a record's first letter; after the path of a "2" comes the one that it had before.
_FIELDS: Final = {"1": 8, "2": 9, "u": 10, "?": 1}
UNTRACKED: Final = "?"


class Row(NamedTuple):
    """One path that differs. ``staged`` and ``unstaged`` are git's letters, ``.`` where nothing differs.

    ``origin``: the path that it was renamed or copied from. ``is_repository``: a submodule, or a repository that
    is not tracked.
    """

    path: bytes
    staged: str
    unstaged: str
    origin: bytes | None = None
    is_conflict: bool = False
    is_repository: bool = False

    @property
    def is_untracked(self) -> bool:
        return self.unstaged == UNTRACKED


def parse_rows(output: bytes, *, prefix: bytes) -> Iterator[Row]:
    """Parse; paths become relative to ``prefix``, below which all of them must lie.

    What follows the last NUL is nothing, or half of a record.
    """
    records = iter(output.split(b"\0")[:-1])
    start = len(prefix)
    for record in records:
        kind = chr(record[0])
        fields = record.split(b" ", _FIELDS[kind])
        path = fields[-1][start:]
        if kind == "?":
            yield Row(path.removesuffix(b"/"), ".", UNTRACKED, is_repository=path.endswith(b"/"))
            continue
        letters = fields[1].decode()
        origin = next(records, b"")[start:] if kind == "2" else None
        is_submodule = fields[2].startswith(b"S")
        yield Row(path, letters[0], letters[1], origin, is_conflict=kind == "u", is_repository=is_submodule)


def choosers(path: bytes, chosen: Collection[bytes]) -> Iterator[bytes]:
    """Those of ``chosen`` that ``path`` is or lies below; ``.`` is the project's root."""
    if b"." in chosen:
        yield b"."
    end = len(path)
    while end > 0:
        if path[:end] in chosen:
            yield path[:end]
        end = path.rfind(b"/", 0, end)


def is_chosen(path: bytes, chosen: Collection[bytes]) -> bool:
    return any(True for _ in choosers(path, chosen))
