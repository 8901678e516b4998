"""Reading the log: its last lines, and what comes after them, also when it is rotated."""

import os
import time
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Final

_LOOK_INTERVAL_S: Final = 0.25
_MAX_TAIL_LINES: Final = 100_000


def last_lines(path: Path, count: int) -> tuple[list[str], int]:
    """The last lines and the position behind them. Raises FileNotFoundError."""
    with path.open("rb") as file:
        lines = deque(file, maxlen=min(count, _MAX_TAIL_LINES))
        return [_text(line) for line in lines], file.tell()


def follow_log(path: Path, position: int, show: Callable[[str], None]) -> None:
    """Show each line that comes, for ever. A rotated log is read from its beginning."""
    file = path.open("rb")
    try:
        file.seek(position)
        while True:
            while (line := file.readline()).endswith(b"\n"):
                show(_text(line))
            # What has no end yet is read again when it has.
            file.seek(-len(line), os.SEEK_CUR)
            if _was_rotated(path, file.fileno(), file.tell()):
                file.close()
                file = path.open("rb")
            time.sleep(_LOOK_INTERVAL_S)
    finally:
        file.close()


def _was_rotated(path: Path, descriptor: int, position: int) -> bool:
    try:
        now = path.stat()
    except FileNotFoundError:
        return False  # Between the renaming and the making of the new one.
    return now.st_ino != os.fstat(descriptor).st_ino or now.st_size < position


def _text(line: bytes) -> str:
    return line.decode(errors="replace").rstrip("\n")
