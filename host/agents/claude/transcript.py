"""A transcript read on from where it was left. Blocking: to be called in threads.

A transcript only grows, as a rule: every line is behind the ones that were read. Where it does not, because the
CLI or somebody else rewrote it, it is read anew, and what is not newer than what was read is passed over.
"""

import os
import time
import zlib
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Final

import msgspec

from host.agents.claude.descent import in_order
from host.agents.claude.store import open_transcript
from host.agents.claude.telling import Narrator, OpenTurn, Story
from host.agents.terminal import TranscriptPart
from host.core.clock import Clock
from host.protocol.limits import MIB

# What is longer is passed over: the log does not keep more of a session, and no line is as long.
MAX_UNREAD_BYTES: Final = 64 * MIB
# So long nothing was written of a turn that was broken off.
QUIET_S: Final = 5.0
_PART_BYTES: Final = 4 * MIB
_PIECE_BYTES: Final = 1 * MIB
_MARK_BYTES: Final = 64


class Position(msgspec.Struct, frozen=True):
    """``mark``: of what lies before ``offset``, to see whether it still does. ``story``: what was going on there."""

    inode: int = 0
    offset: int = 0
    mark: int = 0
    story: Story = Story()


def read_part(
    path: Path, root: Path, position: bytes, *, is_busy: Callable[[], bool], clock: Clock = time.time
) -> TranscriptPart | None:
    """What follows ``position``; None where nothing does, or where there is no transcript.

    A turn without an end has none while it ``is_busy``; else it was interrupted.
    """
    try:
        with open_transcript(path) as descriptor:
            return _read_part(descriptor, root, _decoded(position), partial(_has_ended, descriptor, is_busy, clock))
    except OSError:
        return None


def _read_part(
    descriptor: int, root: Path, before: Position, has_ended: Callable[[OpenTurn], bool]
) -> TranscriptPart | None:
    position = _found_again(descriptor, before)
    lines, offset = _lines(descriptor, position.offset)
    narrator = Narrator(root, position.story)
    if offset > position.offset:
        events = [told for line in in_order(lines) for told in narrator.tell(line)]
    else:
        turn = position.story.turn
        events = list(narrator.end()) if turn is not None and has_ended(turn) else []
    after = _at(descriptor, offset, narrator.story)
    return None if after == before else TranscriptPart(events, msgspec.json.encode(after))


def _found_again(descriptor: int, position: Position) -> Position:
    status = os.fstat(descriptor)
    if position.offset:
        same = _at(descriptor, position.offset, position.story)
        if status.st_size < position.offset or same != position:
            position = Position(story=position.story.told_anew())
    skipped_to = status.st_size - MAX_UNREAD_BYTES
    return position if skipped_to <= position.offset else msgspec.structs.replace(position, offset=skipped_to)


def _at(descriptor: int, offset: int, story: Story) -> Position:
    begins = max(0, offset - _MARK_BYTES)
    mark = zlib.crc32(os.pread(descriptor, offset - begins, begins))
    return Position(os.fstat(descriptor).st_ino, offset, mark, story)


def _lines(descriptor: int, offset: int) -> tuple[list[bytes], int]:
    """Whole lines, and where the next one begins: at least one, if there is one, and not many more than 4 MB."""
    pieces: list[bytes] = []
    size = 0
    is_whole = False
    while size < MAX_UNREAD_BYTES and not (is_whole and size >= _PART_BYTES):
        piece = os.pread(descriptor, _PIECE_BYTES, offset + size)
        if not piece:
            break
        pieces.append(piece)
        size += len(piece)
        is_whole = is_whole or b"\n" in piece
    whole, newline, _ = b"".join(pieces).rpartition(b"\n")
    if newline:
        return whole.split(b"\n"), offset + len(whole) + 1
    # No line of the CLI is that long: what follows of it will be no line either.
    return [], offset + size if size >= MAX_UNREAD_BYTES else offset


def _has_ended(descriptor: int, is_busy: Callable[[], bool], clock: Clock, turn: OpenTurn) -> bool:
    """Whether nobody works on the turn any more. What was written while we asked comes first."""
    before = os.fstat(descriptor)
    # The CLI writes its lines a little after it has said that it is done.
    if turn.end == "interrupted" and clock() - before.st_mtime < QUIET_S:
        return False
    return not is_busy() and os.fstat(descriptor).st_size == before.st_size


def _decoded(position: bytes) -> Position:
    return msgspec.json.decode(position, type=Position) if position else Position()
