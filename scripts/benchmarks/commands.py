"""Commands: starting one, draining what it writes, and logging events, over what the system needs for it."""

import asyncio
import os
import sqlite3
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Final

from host.db.command_runs import CommandRuns
from host.db.database import Database
from host.processes.runner import Job, ProcessRunner
from scripts.benchmarks.measure import (
    Effort,
    Figure,
    Report,
    Samples,
    Target,
    awaited_ms,
    figure_of_medians,
    percentile,
    timed_ms,
)

_SHELL: Final = "/bin/sh"
_FLOOD: Final = "exec head -c 100000000 /dev/zero"
_PRODUCERS: Final = 16
_EVENTS_PER_PRODUCER: Final = 100
# The runner prepares its next shim when a start is over; people don't start commands back to back either.
_PAUSE_S: Final = 0.04


async def measure(effort: Effort) -> Report:
    # The daemon runs on plain asyncio: uvloop would fork where the runner must not.
    return await asyncio.to_thread(asyncio.run, _measure(effort))


async def _measure(effort: Effort) -> Report:
    with tempfile.TemporaryDirectory() as directory:
        started, spawned = await _starts(effort)
        drained, piped = await _floods(max(effort.rounds // 8, 2))
        rate, inline_rate, delays = await _logging(Path(directory))
    return Report(
        [
            figure_of_medians("a command's first output, p50", started, spawned, "posix_spawn", Target(2)),
            figure_of_medians("100 MB of output", drained, piped, "| cat", Target(2.5)),
            Figure(
                "events logged, 16 producers", rate, "/s", inline_rate, "inline sqlite3", Target(0.9, at_least=True)
            ),
            Figure("  p99", percentile(delays, 99), "ms", 1.0, "1 ms", Target(2, of="value")),
        ]
    )


async def _starts(effort: Effort) -> tuple[Samples, Samples]:
    ours: Samples = []
    floor: Samples = []
    runner = ProcessRunner()
    directory = os.open("/", os.O_RDONLY | os.O_DIRECTORY)
    await runner.prepare()
    for _ in range(5 * effort.rounds):
        floor.append(_first_output_ms())
        await asyncio.sleep(_PAUSE_S)
        start_s = time.perf_counter()
        async with await runner.start(Job((_SHELL, "-c", "echo x"), os.environ, directory)) as process:
            await process.read()
            ours.append((time.perf_counter() - start_s) * 1000)
    await runner.close()
    os.close(directory)
    return ours, floor


async def _floods(rounds: int) -> tuple[Samples, Samples]:
    ours: Samples = []
    floor: Samples = []
    runner = ProcessRunner()
    directory = os.open("/", os.O_RDONLY | os.O_DIRECTORY)
    for _ in range(rounds):
        floor.append(timed_ms(lambda: subprocess.run([_SHELL, "-c", f"{_FLOOD[5:]} | cat >/dev/null"], check=True)))
        ours.append(await awaited_ms(lambda: _run(runner, directory, _FLOOD)))
    await runner.close()
    os.close(directory)
    return ours, floor


async def _run(runner: ProcessRunner, directory: int, command: str) -> None:
    async with await runner.start(Job((_SHELL, "-c", command), os.environ, directory)) as process:
        while await process.read() is not None:
            pass
        await process.wait()
        await process.end()


def _first_output_ms() -> float:
    readable, writable = os.pipe()
    start_s = time.perf_counter()
    actions = [(os.POSIX_SPAWN_DUP2, writable, 1)]
    pid = os.posix_spawn(_SHELL, [_SHELL, "-c", "echo x"], os.environ, file_actions=actions)
    os.read(readable, 10)
    taken_ms = (time.perf_counter() - start_s) * 1000
    os.waitpid(pid, 0)
    os.close(readable)
    os.close(writable)
    return taken_ms


class _Chunk:
    channel: Final = "stdout"
    text: Final = "x" * 200


async def _logging(directory: Path) -> tuple[float, float, Samples]:
    """Events a second of ours and of the floor, and how long each of ours took."""
    database = await Database.open(directory / "ours.db")
    runs, delays = CommandRuns(database), Samples()

    async def produce(number: int) -> None:
        await runs.start("user", "proj_1", f"run-{number}", "make")
        for _ in range(_EVENTS_PER_PRODUCER):
            delays.append(await awaited_ms(lambda: runs.append(f"run-{number}", [_Chunk()])))

    start_s = time.perf_counter()
    await asyncio.gather(*(produce(number) for number in range(_PRODUCERS)))
    rate = _PRODUCERS * _EVENTS_PER_PRODUCER / (time.perf_counter() - start_s)
    await database.close()
    return rate, _inline_rate(directory / "floor.db"), delays


def _inline_rate(path: Path) -> float:
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute("CREATE TABLE events (seq INTEGER PRIMARY KEY, payload TEXT)")
    count = _PRODUCERS * _EVENTS_PER_PRODUCER
    start_s = time.perf_counter()
    for _ in range(count):
        connection.execute("INSERT INTO events (payload) VALUES (?)", (_Chunk.text,))
    rate = count / (time.perf_counter() - start_s)
    connection.close()
    return rate
