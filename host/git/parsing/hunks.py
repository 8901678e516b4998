"""The lines of a unified diff. Pure."""

import re
from collections.abc import Iterator, Sequence
from typing import Final

from host.protocol.messages.git import DiffHunk, DiffLine

_HEADER: Final = re.compile(rb"@@ -(\d+)(?:,(\d+))? \+(\d+)(?:,(\d+))? @@")
_NO_NEWLINE: Final = b"\\"


class CutOff(Exception):
    """The diff ends within a hunk."""


def is_hunk(line: bytes) -> bool:
    return line.startswith(b"@@ ")


def parse_hunk(lines: Sequence[bytes], start: int) -> tuple[DiffHunk, int]:
    """The hunk whose header is ``lines[start]``, and where it ends. Raises CutOff.

    It is as long as its header says, whatever its lines look like.
    """
    header = _HEADER.match(lines[start])
    if header is None:
        raise CutOff
    old_line, old_left, new_line, new_left = (int(text or 1) for text in header.group(1, 2, 3, 4))
    hunk = DiffHunk(_text(lines[start]), [])
    position = start + 1
    while old_left or new_left:
        if position >= len(lines):
            raise CutOff
        line = lines[position]
        position += 1
        if line.startswith(b"-"):
            hunk.lines.append(DiffLine("delete", _text(line[1:]), old_line=old_line))
            old_line, old_left = old_line + 1, old_left - 1
        elif line.startswith(b"+"):
            hunk.lines.append(DiffLine("add", _text(line[1:]), new_line=new_line))
            new_line, new_left = new_line + 1, new_left - 1
        elif not line.startswith(_NO_NEWLINE):
            # An empty context line may have lost its blank.
            hunk.lines.append(DiffLine("context", _text(line[1:]), old_line, new_line))
            old_line, old_left = old_line + 1, old_left - 1
            new_line, new_left = new_line + 1, new_left - 1
    return hunk, position


def added_hunk(content: bytes) -> DiffHunk:
    """All of a new file's lines."""
    lines = content.split(b"\n")
    if not lines[-1]:
        lines.pop()
    header = f"@@ -0,0 +1{f',{len(lines)}' if len(lines) != 1 else ''} @@"
    return DiffHunk(header, list(_added(lines)))


def _added(lines: Sequence[bytes]) -> Iterator[DiffLine]:
    for number, line in enumerate(lines, start=1):
        yield DiffLine("add", _text(line), new_line=number)


def _text(line: bytes) -> str:
    return line.decode(errors="replace")
