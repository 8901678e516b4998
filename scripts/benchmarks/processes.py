"""Child processes of a benchmark: started, waited for until they are ready, ended with their block."""

import os
import select
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

BIN: Final = Path(sys.executable).parent
_LINE_TIMEOUT_S: Final = 20.0
_STOP_TIMEOUT_S: Final = 10.0

Command = Sequence[str | Path]


class BenchmarkFailed(Exception):
    """The message says what went wrong."""


@contextmanager
def running(
    command: Command, *, environment: Mapping[str, str] | None = None, first_line: bytes = b""
) -> Iterator[subprocess.Popen[bytes]]:
    """Run a command for the length of the block. It gets one line on stdin."""
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0, env=environment)
    try:
        assert process.stdin is not None
        process.stdin.write(first_line + b"\n")
        yield process
    finally:
        _end(process)


def next_line(process: subprocess.Popen[bytes]) -> str:
    """The next line that a process prints. Raises BenchmarkFailed when none comes in time."""
    assert process.stdout is not None
    if not select.select([process.stdout], [], [], _LINE_TIMEOUT_S)[0]:
        raise BenchmarkFailed(f"A process of the benchmark fell silent: {process.args!r}")
    line = process.stdout.readline().decode().strip()
    if not line:
        raise BenchmarkFailed(f"A process of the benchmark ended too early: {process.args!r}")
    return line


def module(*arguments: str) -> list[str]:
    """The command that runs one of the modules here."""
    return [sys.executable, "-m", *arguments]


def cpu_s(process_id: int) -> float:
    """The processor time a process has taken, in steps of 10 ms."""
    with open(f"/proc/{process_id}/stat") as stat:
        # The second field is a name in parentheses, which may hold anything.
        fields = stat.read().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def resident_kib(process_id: int) -> int:
    """Resident memory of a process, KiB, from the kernel."""
    with open(f"/proc/{process_id}/statm") as statm:
        pages = int(statm.read().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") // 1024


def _end(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.communicate(timeout=_STOP_TIMEOUT_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.communicate()
