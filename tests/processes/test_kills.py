"""kill -9 of the daemon, a shim or the keeper leaves nothing running, or nothing more than must be."""

import asyncio
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Final

import psutil  # type: ignore[import-untyped]
import pytest

from host.processes.connection import Ended, TreeEnded
from tests.processes.conftest import Rig, keeper_of, pid_of, ready_shim
from tests.processes.test_trees import DEAF, SHAPES
from tests.support.host import eventually
from tests.support.processes import CHECKOUT, environment, is_alive, no_process_left, processes_below
from tests.support.processes import eventually as eventually_now

# Runs a script as a daemon would, says when it stands, and is killed.
DAEMON: Final = """
import asyncio, os, sys
from host.processes.runner import Job, ProcessRunner

async def main():
    runner = ProcessRunner()
    directory = os.open("/", os.O_RDONLY)
    for script in sys.argv[1:]:
        process = await runner.start(Job(("/bin/bash", "-c", script), dict(os.environ), directory))
        while b"ready" not in (await process.read())[1]:
            pass
    print("ready", flush=True)
    await asyncio.sleep(100)

asyncio.run(main())
"""


def start_daemon(home: Path, *scripts: str) -> subprocess.Popen[bytes]:
    daemon = subprocess.Popen(
        [sys.executable, "-c", DAEMON, *scripts], stdout=subprocess.PIPE, env=environment(home), cwd=CHECKOUT
    )
    assert daemon.stdout is not None
    assert daemon.stdout.readline() == b"ready\n"
    daemon.stdout.close()
    return daemon


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_a_killed_daemon_leaves_nothing(tmp_path: Path, number: signal.Signals) -> None:
    with no_process_left(tmp_path):
        daemon = start_daemon(tmp_path, *SHAPES.values(), DEAF)
        assert len(processes_below(tmp_path)) > 2 * len(SHAPES)
        daemon.send_signal(number)
        daemon.wait()
        eventually_now(lambda: processes_below(tmp_path) == {}, 10)


@pytest.mark.slow
def test_a_daemon_that_is_killed_at_any_moment_leaves_nothing(tmp_path: Path) -> None:
    for delay_ms in range(0, 200, 10):
        daemon = subprocess.Popen(
            [sys.executable, "-c", DAEMON, *[DEAF] * 20],
            stdout=subprocess.DEVNULL,
            env=environment(tmp_path),
            cwd=CHECKOUT,
        )
        eventually_now(lambda: len(processes_below(tmp_path)) > 1)
        with no_process_left(tmp_path):
            try:
                daemon.wait(delay_ms / 1000)
            except subprocess.TimeoutExpired:
                daemon.kill()
            daemon.wait()
            eventually_now(lambda: processes_below(tmp_path) == {}, 10)


@pytest.mark.parametrize("shape", SHAPES)
async def test_what_a_killed_shim_leaves_is_gone_before_its_end_is_told(rig: Rig, shape: str) -> None:
    other = await rig.start_until(SHAPES["a child"], b"ready")
    others = set(processes_below(rig.path))
    process = await rig.start_until(SHAPES[shape], b"ready")
    psutil.Process(pid_of(process)).parent().kill()
    ended = await asyncio.wait_for(process.wait(), 10)
    assert not ended.is_known
    assert set(processes_below(rig.path)) == others
    assert await process.end() == TreeEnded()
    await other.end()


async def test_a_command_may_kill_its_shim(rig: Rig) -> None:
    outcome = await rig.run("sleep 100 & setsid sleep 100 & kill -9 $PPID; sleep 100")
    assert not outcome.ended.is_known
    assert processes_below(rig.path) == {}
    assert (await rig.run("echo fine")).stdout == b"fine\n"


async def test_a_shim_that_is_killed_while_it_stands_ready_is_replaced(rig: Rig) -> None:
    (await ready_shim(rig)).kill()
    assert (await rig.run("echo once")).stdout == b"once\n"


async def test_what_runs_survives_a_killed_keeper_and_is_ended_as_ever(rig: Rig) -> None:
    process = await rig.start_until(SHAPES["a double fork"], b"ready")
    keeper = keeper_of(rig.runner)
    os.kill(keeper, signal.SIGKILL)
    await eventually(lambda: not is_alive(keeper))
    assert is_alive(pid_of(process))
    process.terminate()
    assert await process.wait() == Ended(signal="SIGTERM")
    assert await process.end() == TreeEnded(last_signal="SIGTERM")
    assert processes_below(rig.path) == {}
