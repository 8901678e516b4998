"""Reading the log: its last lines, and what comes after them, also when it is rotated."""

import copy
import itertools
import os
import re
import time
from collections import deque
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from typing import BinaryIO, Final

from host.core.clock import rfc3339
from host.core.errors import ForPeople

_LOOK_INTERVAL_S: Final = 0.25
_MAX_TAIL_LINES: Final = 100_000
_LEVELS: Final = ("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL")
# As host.core.logging writes them.
_ENTRY: Final = re.compile(r'(\{"at": ")?(?P<at>\d{4}-[\d-]+T[\d:.]+Z)(", "level": "| )(?P<level>[A-Z]+)')
_AGES: Final = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}


class LogError(ForPeople):
    """What was asked of the log makes no sense. The message says what would."""


class Wanted:
    """Which lines are shown: at least of a level, not before a time. Lines of a traceback go with their entry."""

    def __init__(self, level: str | None = None, since: str | None = None) -> None:
        self._lowest = _LEVELS.index(level.upper()) if level else 0
        self._since = since or ""
        self._shows = level is None and since is None

    def __call__(self, line: str) -> bool:
        if entry := _ENTRY.match(line):
            level = entry["level"]
            is_high = level not in _LEVELS or _LEVELS.index(level) >= self._lowest
            self._shows = is_high and entry["at"] >= self._since
        return self._shows


def time_of(text: str, *, now_s: float) -> str:
    """``10m``, ``2h`` or ``1d`` ago, or a time, as the log writes it. Raises LogError."""
    try:
        if (age := re.fullmatch(r"(\d{1,6})([smhd])", text)) is not None:
            return rfc3339(now_s - timedelta(**{_AGES[age[2]]: int(age[1])}).total_seconds())
        return rfc3339(datetime.fromisoformat(text).astimezone().timestamp())
    except (ValueError, OverflowError) as exc:  # also for a year that there never was
        raise LogError(f"{text!r} is no time. Write 30s, 10m, 2h or 1d, or a time such as 2026-02-12T10:00.") from exc


def last_lines(path: Path, count: int, wanted: Wanted) -> tuple[list[str], int]:
    """The last of the wanted lines, also from rotated files, and the position behind all in the log itself.

    Raises FileNotFoundError where there is no log. ``wanted`` is left as it is at that position.
    """
    count, unread = min(count, _MAX_TAIL_LINES), copy.copy(wanted)
    with path.open("rb") as file:
        lines = _last_of(file, count, wanted)
        position = file.tell()
    rotated = (path.with_name(f"{path.name}.{number}") for number in itertools.count(1))
    for older in itertools.takewhile(Path.exists, rotated):
        if len(lines) >= count:
            break
        with older.open("rb") as file:
            lines = _last_of(file, count - len(lines), copy.copy(unread)) + lines
    return lines, position


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


def _last_of(file: BinaryIO, count: int, wanted: Wanted) -> list[str]:
    return list(deque((line for line in map(_text, file) if wanted(line)), maxlen=count))


def _was_rotated(path: Path, descriptor: int, position: int) -> bool:
    try:
        now = path.stat()
    except FileNotFoundError:
        return False  # Between the renaming and the making of the new one.
    return now.st_ino != os.fstat(descriptor).st_ino or now.st_size < position


def _text(line: bytes) -> str:
    return line.decode(errors="replace").rstrip("\n")
