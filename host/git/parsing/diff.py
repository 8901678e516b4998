"""What ``git diff --raw -z --patch`` says. Pure.

The raw part names the files, each byte as it is; the patch has their lines below headers that are made of the same
names. So that no content is taken for a header, nor one file's lines for another's, each header is compared with
the one that its file must have.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from msgspec import UNSET

from host.git.parsing.hunks import CutOff, is_hunk, parse_hunk
from host.git.parsing.status import STATUSES
from host.git.paths import shown_path
from host.protocol.messages.git import DiffFile

_SECTION: Final = b"diff --git "
_BINARY: Final = b"Binary files "
_ODD: Final = re.compile(rb'[\x00-\x1f"\\\x7f-\xff]')
_LETTERS: Final = {
    7: b"\\a",
    8: b"\\b",
    9: b"\\t",
    10: b"\\n",
    11: b"\\v",
    12: b"\\f",
    13: b"\\r",
    34: b'\\"',
    92: b"\\\\",
}


@dataclass(frozen=True, slots=True)
class _Named:
    """A record of the raw part. ``letter``: the kind of change; ``U`` for a conflict."""

    letter: str
    path: bytes
    origin: bytes | None

    @property
    def header(self) -> bytes:
        """The line that begins its sections of the patch, of which a change of type has two."""
        return _SECTION + quoted(b"a/" + (self.origin or self.path)) + b" " + quoted(b"b/" + self.path)


def parse_diff(output: bytes, *, prefix: bytes, max_files: int, is_cut: bool = False) -> tuple[list[DiffFile], bool]:
    """The files that differ, and whether something is missing. Paths become relative to ``prefix``.

    ``is_cut``: the output ends somewhere. The names come first, so that files lack hunks before they lack themselves.
    """
    raw, separator, patch = output.partition(b"\0\0")
    if not separator:
        raw, patch = output.rpartition(b"\0")[0], b""
    named = [record for record in _records(raw.split(b"\0")) if record.letter in STATUSES]
    files = [_file(record, len(prefix)) for record in named[:max_files]]
    # What follows the last newline is nothing, or half of a line.
    cut_off = _Patch(patch.split(b"\n")[:-1]).give_hunks(zip(named, files, strict=False))
    return files, is_cut or cut_off or len(named) > max_files


def _records(fields: Sequence[bytes]) -> Iterator[_Named]:
    """The last one may be cut."""
    following = iter(fields)
    for field in following:
        letter = chr(field.rpartition(b" ")[2][0]) if field.startswith(b":") else ""
        origin = next(following, None) if letter in ("R", "C") else None
        path = next(following, None)
        if path is not None:
            yield _Named(letter, path, origin)


def _file(record: _Named, prefix_length: int) -> DiffFile:
    return DiffFile(
        path=shown_path(record.path[prefix_length:]),
        orig_path=UNSET if record.origin is None else shown_path(record.origin[prefix_length:]),
        status=STATUSES[record.letter],
        binary=False,
        hunks=[],
    )


class _Patch:
    def __init__(self, lines: Sequence[bytes]) -> None:
        self._lines = lines
        self._position = 0

    def give_hunks(self, files: Iterator[tuple[_Named, DiffFile]]) -> bool:
        """Put each section's hunks into its file; whether the last one was cut off."""
        try:
            for record, file in files:
                header = record.header
                while self._next_section() == header:
                    self._position += 1
                    self._take_section(file)
        except CutOff:
            return True
        return False

    def _next_section(self) -> bytes:
        while self._position < len(self._lines) and not self._lines[self._position].startswith(_SECTION):
            self._position += 1
        return self._lines[self._position] if self._position < len(self._lines) else b""

    def _take_section(self, file: DiffFile) -> None:
        while self._position < len(self._lines):
            line = self._lines[self._position]
            if line.startswith(_SECTION):
                return
            if is_hunk(line):
                hunk, self._position = parse_hunk(self._lines, self._position)
                file.hunks.append(hunk)
                continue
            file.binary = file.binary or line.startswith(_BINARY)
            self._position += 1


def quoted(name: bytes) -> bytes:
    """The name as git writes it on a line (``core.quotePath``): as it is, or in quotes with each odd byte escaped."""
    if not _ODD.search(name):
        return name
    return b'"' + _ODD.sub(lambda found: _escaped(found[0][0]), name) + b'"'


def _escaped(byte: int) -> bytes:
    return _LETTERS.get(byte) or b"\\%03o" % byte
