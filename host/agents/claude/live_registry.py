"""The sessions that run now, as Claude Code itself registers them. Blocking: to be called in threads."""

import os
import sys
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Final

import msgspec

from host.agents.claude.store import open_transcript
from host.protocol.limits import KIB

# What this daemon drives registers itself under this name.
OUR_ENTRYPOINT: Final = "pocketcoder"
MAX_ENTRIES: Final = 1000
_MAX_ENTRY_BYTES: Final = 64 * KIB
_IDLE: Final = "idle"
# Numbers of /proc/PID/stat behind the program's name, which may hold anything: the state is the first.
_TERMINAL_FIELD: Final = 7 - 3
_START_FIELD: Final = 22 - 3
_PSEUDO_TERMINALS: Final = range(136, 144)
_CONSOLES: Final = 4


class _Entry(msgspec.Struct, rename="camel"):
    pid: int
    session_id: str
    proc_start: str | int | None = None
    entrypoint: str | None = None
    status: str | None = None


@dataclass(frozen=True, slots=True)
class Process:
    """``start``: what tells it from a later one of the same number. ``terminal``: its name, if it has one."""

    start: str
    terminal: str | None


class LiveRegistry:
    """The files ``sessions/<pid>.json``. They stay when a process is killed, so each is checked against its process."""

    def __init__(self, sessions: Path) -> None:
        self._sessions = sessions

    def busy(self) -> dict[str, str]:
        """The sessions that others than this daemon work on now, by id, and where: ``a terminal (pts/3, process 7)``.

        An idle terminal works on nothing. A process that has no terminal works on its session while it lives.
        """
        busy = {}
        for entry in islice(self._entries(), MAX_ENTRIES):
            process = find_process(entry.pid)
            if process is not None and _is_busy(entry) and _is_same(entry, process):
                busy[entry.session_id] = _where(entry.pid, process)
        return busy

    def _entries(self) -> Iterator[_Entry]:
        with suppress(OSError), os.scandir(self._sessions) as files:
            for file in files:
                if file.name.endswith(".json"):
                    with suppress(OSError, msgspec.DecodeError, UnicodeDecodeError, RecursionError):
                        yield msgspec.json.decode(_content(file.path), type=_Entry)


def find_process(pid: int) -> Process | None:
    """The process with this number; None if there is none, or it ended and was not yet waited for."""
    if sys.platform != "linux":
        return _find_by_signal(pid)
    try:
        stat = Path(f"/proc/{pid:d}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
    state, *fields = stat.rpartition(")")[2].split()
    if state in ("Z", "X"):
        return None
    return Process(fields[_START_FIELD - 1], _terminal_name(int(fields[_TERMINAL_FIELD - 1])))


def _find_by_signal(pid: int) -> Process | None:
    with suppress(ProcessLookupError, OverflowError):
        if pid > 0:
            with suppress(PermissionError):
                os.kill(pid, 0)
            return Process("", None)
    return None


def _content(path: str) -> bytes:
    with open_transcript(path) as descriptor:
        return os.read(descriptor, _MAX_ENTRY_BYTES)


def _is_busy(entry: _Entry) -> bool:
    return entry.entrypoint != OUR_ENTRYPOINT and entry.status != _IDLE


def _is_same(entry: _Entry, process: Process) -> bool:
    return not process.start or entry.proc_start is None or str(entry.proc_start) == process.start


def _where(pid: int, process: Process) -> str:
    return f"a terminal ({process.terminal}, process {pid})" if process.terminal else f"another program (process {pid})"


def _terminal_name(device: int) -> str | None:
    """The name below ``/dev`` of a terminal's number; 0 is none."""
    major, minor = device >> 8 & 0xFFF, device & 0xFF | device >> 12 & 0xFFF00
    if major in _PSEUDO_TERMINALS:
        return f"pts/{(major - _PSEUDO_TERMINALS.start) * 256 + minor}"
    return f"tty{minor}" if major == _CONSOLES else None
