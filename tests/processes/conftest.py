import os
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import psutil  # type: ignore[import-untyped]
import pytest

from host.processes.connection import Ended, TreeEnded
from host.processes.runner import Job, ProcessRunner
from host.processes.running import RunningProcess
from tests.support.host import eventually
from tests.support.processes import environment, is_alive, no_process_left

SHELL: Final = "/bin/bash"
GRACE_S: Final = 0.5
DRAIN_S: Final = 0.3


@dataclass(frozen=True)
class Outcome:
    """All that can be known of a process afterwards."""

    stdout: bytes
    stderr: bytes
    ended: Ended
    tree: TreeEnded


@dataclass
class Rig:
    """A runner, and a directory whose path is the HOME of all that it runs."""

    runner: ProcessRunner
    path: Path
    directory: int
    environment: dict[str, str]

    def job(self, script: str, *, wants_stdin: bool = False) -> Job:
        return Job((SHELL, "-c", script), self.environment, self.directory, wants_stdin)

    async def start(self, script: str, *, wants_stdin: bool = False) -> RunningProcess:
        return await self.runner.start(self.job(script, wants_stdin=wants_stdin))

    async def start_until(self, script: str, said: bytes) -> RunningProcess:
        """Start it and read on until it has said that."""
        process = await self.start(script)
        received = b""
        while said not in received:
            piece = await process.read()
            assert piece is not None, f"It ended before it said {said!r}: {received!r}"
            received += piece[1]
        return process

    async def run(self, script: str) -> Outcome:
        return await outcome_of(await self.start(script))


async def outcome_of(process: RunningProcess) -> Outcome:
    """Read it to its end."""
    received = {"stdout": b"", "stderr": b""}
    async with process:
        while (piece := await process.read()) is not None:
            stream, content = piece
            received[stream] += content
        return Outcome(received["stdout"], received["stderr"], await process.wait(), await process.end())


@pytest.fixture
def directory(tmp_path: Path) -> Iterator[int]:
    descriptor = os.open(tmp_path, os.O_RDONLY | os.O_DIRECTORY)
    yield descriptor
    os.close(descriptor)


@pytest.fixture
async def rig(tmp_path: Path, directory: int) -> AsyncIterator[Rig]:
    """Nothing that it ran, nor its keeper, may be there when the test is over."""
    with no_process_left(tmp_path):
        runner = ProcessRunner(grace_s=GRACE_S, drain_s=DRAIN_S)
        await runner.prepare()
        keeper = keeper_of(runner)
        yield Rig(runner, tmp_path, directory, environment(tmp_path))
        await runner.close()
        assert not is_alive(keeper)
        assert psutil.Process().children() == []


async def ready_shim(rig: Rig) -> psutil.Process:
    """The shim that stands ready when nothing has been started yet."""
    await eventually(lambda: len(psutil.Process(keeper_of(rig.runner)).children()) == 1)
    return psutil.Process(keeper_of(rig.runner)).children()[0]


def pid_of(process: RunningProcess) -> int:
    assert process.pid is not None
    return process.pid


def keeper_of(runner: ProcessRunner) -> int:
    pid = runner.keeper_pid
    assert pid is not None
    return pid
