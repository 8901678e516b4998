"""Whatever a process starts is ended with it, and nothing else is."""

import asyncio
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Final

import psutil  # type: ignore[import-untyped]
import pytest

from host.processes import keeper_process
from host.processes.connection import Ended, TreeEnded
from host.processes.runner import Job, ProcessRunner
from host.processes.running import RunningProcess
from tests.processes.conftest import GRACE_S, Rig, keeper_of, pid_of
from tests.support.host import eventually
from tests.support.processes import environment, is_alive, no_process_left, processes_below

# A process that forks, ends, and leaves its place to the child in a session of its own, for ever.
RUNAWAY: Final = """
import os, sys
sys.stdout.write("ready\\n")
sys.stdout.flush()
while True:
    if os.fork():
        os._exit(0)
    os.setsid()
"""

# Each shape prints "ready" when it stands, and would run for 100 s.
SHAPES: Final = {
    "a child": "sleep 100 & echo ready; wait",
    "a pipeline": "sleep 100 | sleep 100 | (echo ready >&2; sleep 100)",
    "a job in a group of its own": "set -m; sleep 100 & echo ready; wait",
    "a session of its own": "setsid sh -c 'echo ready; sleep 100; :' & wait",
    "a double fork": "(setsid sh -c 'sleep 100 & sleep 100 & echo ready' &) ; sleep 100; :",
    "without its parents": "(setsid sh -c '(setsid sh -c \"echo ready; sleep 100; :\" &)' &) ; exec sleep 100",
    "without our pipes": "(setsid sh -c 'echo ready; exec sleep 100 </dev/null >/dev/null 2>&1' &) ; sleep 100; :",
    "stopped": "sleep 100 & kill -STOP $!; echo ready; wait",
    "deep": 'sh -c \'sh -c "setsid sh -c \\"echo ready; sleep 100; :\\"; :"; :\' & wait',
}
DEAF: Final = "trap '' TERM; echo ready; while :; do sleep 100; done"


@pytest.mark.parametrize("shape", SHAPES)
async def test_terminate_ends_the_whole_tree(rig: Rig, shape: str) -> None:
    process = await rig.start_until(SHAPES[shape], b"ready")
    process.terminate()
    process.terminate()
    assert await process.wait() == Ended(signal="SIGTERM")
    assert await process.end() == TreeEnded(last_signal="SIGTERM")
    assert processes_below(rig.path) == {}


@pytest.mark.parametrize("shape", SHAPES)
async def test_kill_ends_the_whole_tree(rig: Rig, shape: str) -> None:
    process = await rig.start_until(SHAPES[shape], b"ready")
    process.kill()
    assert await process.wait() == Ended(signal="SIGKILL")
    assert await process.end() == TreeEnded(last_signal="SIGKILL")
    assert processes_below(rig.path) == {}


async def test_what_does_not_hear_sigterm_is_killed_after_the_grace(rig: Rig) -> None:
    process = await rig.start_until(DEAF, b"ready")
    start_s = time.monotonic()
    process.terminate()
    assert await process.wait() == Ended(signal="SIGKILL")
    assert GRACE_S <= time.monotonic() - start_s < GRACE_S + 5
    assert await process.end() == TreeEnded(last_signal="SIGKILL")


async def test_kill_does_not_wait_for_the_grace(tmp_path: Path, directory: int) -> None:
    runner = ProcessRunner(grace_s=60)
    rig = Rig(runner, tmp_path, directory, environment(tmp_path))
    with no_process_left(tmp_path):
        process = await rig.start_until(DEAF, b"ready")
        process.terminate()
        process.kill()
        async with asyncio.timeout(10):
            assert await process.wait() == Ended(signal="SIGKILL")
            await process.end()
        await runner.close()


async def test_what_ends_on_sigterm_may_clean_up_and_say_so(rig: Rig) -> None:
    process = await rig.start_until("trap 'echo bye; exit 7' TERM; echo ready; sleep 100 & wait", b"ready")
    process.terminate()
    assert await process.read() == ("stdout", b"bye\n")
    assert await process.wait() == Ended(exit_code=7)
    assert await process.end() == TreeEnded(last_signal="SIGTERM")


async def test_what_is_left_in_the_background_is_ended(rig: Rig) -> None:
    outcome = await rig.run(
        "(setsid sleep 100 >/dev/null 2>&1 &); trap '' TERM; sleep 100 >/dev/null 2>&1 & echo started"
    )
    assert outcome.ended == Ended(exit_code=0)
    assert outcome.stdout == b"started\n"
    assert outcome.tree == TreeEnded(last_signal="SIGKILL")
    assert processes_below(rig.path) == {}


async def test_ending_one_that_is_gone_does_nothing(rig: Rig) -> None:
    process = await rig.start("exit 3")
    assert await process.wait() == Ended(exit_code=3)
    assert await process.end() == TreeEnded()
    process.terminate()
    process.kill()
    assert await process.end() == TreeEnded()


async def test_an_end_that_was_cancelled_goes_on(rig: Rig) -> None:
    process = await rig.start_until(DEAF, b"ready")
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(process.end(), 0.01)
    await eventually(lambda: processes_below(rig.path) == {})


async def test_leaving_the_context_kills(rig: Rig) -> None:
    with pytest.raises(RuntimeError):
        async with await rig.start_until(DEAF, b"ready"):
            raise RuntimeError
    assert processes_below(rig.path) == {}


async def test_one_that_flees_from_session_to_session_is_caught(rig: Rig) -> None:
    job = Job((sys.executable, "-S", "-c", RUNAWAY), rig.environment, rig.directory)
    process = await rig.runner.start(job)
    assert await process.read() == ("stdout", b"ready\n")
    process.kill()
    assert await process.end() == TreeEnded(last_signal="SIGKILL")
    assert processes_below(rig.path) == {}


@pytest.mark.slow
async def test_one_that_forks_while_it_is_killed_is_ended(rig: Rig) -> None:
    spawn = "while :; do sleep 100 & setsid sleep 100 & done"
    process = await rig.start(f"for i in 1 2 3; do ({spawn}) & done; {spawn}")
    await eventually(lambda: len(psutil.Process(pid_of(process)).children(recursive=True)) > 100)
    process.kill()
    assert await process.end() == TreeEnded(last_signal="SIGKILL")
    assert processes_below(rig.path) == {}


@pytest.mark.slow
async def test_a_thousand_children_are_ended(rig: Rig) -> None:
    script = "for i in $(seq 500); do sleep 100 & setsid sleep 100 & done; echo ready; wait"
    process = await rig.start_until(script, b"ready")
    start_s = time.monotonic()
    process.terminate()
    assert (await process.end()).left == 0
    assert time.monotonic() - start_s < 10
    assert processes_below(rig.path) == {}


async def test_nothing_outside_the_tree_is_touched(rig: Rig, bystanders: list[int]) -> None:
    other = await rig.start_until(SHAPES["a double fork"], b"ready")
    for shape in SHAPES.values():
        process = await rig.start_until(shape, b"ready")
        before = set(processes_below(rig.path))
        process.kill()
        await process.end()
        assert all(is_alive(pid) for pid in bystanders)
        assert pid_of(other) in processes_below(rig.path)
        assert len(before - set(processes_below(rig.path))) >= 1
    assert len(processes_below(rig.path)) == len(bystanders) + 4
    await other.end()


@pytest.fixture
def bystanders(tmp_path: Path) -> Iterator[list[int]]:
    """Processes of the same user, one in the test's own session and group."""
    with ExitStack() as stack:
        pids = []
        for has_own_session in (True, False):
            process = stack.enter_context(
                subprocess.Popen(["/bin/sleep", "100"], env=environment(tmp_path), start_new_session=has_own_session)
            )
            stack.callback(process.kill)
            pids.append(process.pid)
        yield pids


async def test_keeper_and_shim_hear_no_polite_signal(rig: Rig) -> None:
    process = await rig.start_until("echo ready; sleep 100", b"ready")
    async with process:
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            os.kill(psutil.Process(pid_of(process)).ppid(), number)
            os.kill(keeper_of(rig.runner), number)
        assert (await rig.run("echo fine")).stdout == b"fine\n"
        assert is_alive(pid_of(process))


async def test_close_ends_all_that_runs(tmp_path: Path, directory: int) -> None:
    runner = ProcessRunner(grace_s=GRACE_S)
    rig = Rig(runner, tmp_path, directory, environment(tmp_path))
    with no_process_left(tmp_path):
        running = [await rig.start_until(script, b"ready") for script in (*SHAPES.values(), DEAF)]
        keeper = runner.keeper_pid
        assert keeper is not None
        start_s = time.monotonic()
        await runner.close()
        assert time.monotonic() - start_s < GRACE_S + 5
        assert processes_below(tmp_path) == {}
        assert not is_alive(keeper)
        await all_end(running)
        await runner.close()


async def test_close_while_processes_start_leaves_nothing(tmp_path: Path, directory: int) -> None:
    rig = Rig(ProcessRunner(grace_s=GRACE_S), tmp_path, directory, environment(tmp_path))
    with no_process_left(tmp_path):
        starting = [asyncio.create_task(rig.start("sleep 100")) for _ in range(100)]
        await eventually(lambda: any(task.done() for task in starting))
        await rig.runner.close()
        started = await asyncio.gather(*starting, return_exceptions=True)
        assert processes_below(tmp_path) == {}
        assert psutil.Process().children() == []
        running = [process for process in started if isinstance(process, RunningProcess)]
        assert running
        assert {str(refusal) for refusal in started if not isinstance(refusal, RunningProcess)} <= {
            "Nothing is started any more, because the daemon is stopping."
        }
        await all_end(running)


@pytest.mark.parametrize(
    "shape",
    [
        "a pipeline",
        *(
            pytest.param(name, marks=pytest.mark.slow)
            for name in ("a child", "a job in a group of its own", "stopped", "deep")
        ),
    ],
)
async def test_where_orphans_are_not_adopted_descendants_are_ended(
    tmp_path: Path, directory: int, monkeypatch: pytest.MonkeyPatch, shape: str
) -> None:
    pretend = "import host.processes.shim as shim; shim.adopt_orphans = lambda: False"
    program = keeper_process.PROGRAM.replace("main()", f"{pretend}; main()")
    monkeypatch.setattr(keeper_process, "PROGRAM", program)
    rig = Rig(ProcessRunner(grace_s=GRACE_S), tmp_path, directory, environment(tmp_path))
    with no_process_left(tmp_path):
        process = await rig.start_until(SHAPES[shape], b"ready")
        process.kill()
        assert await process.end() == TreeEnded(last_signal="SIGKILL")
        # An orphan of its group is found, too.
        outcome = await rig.run("sleep 100 & echo $POCKETCODER_RUN")
        assert outcome.tree == TreeEnded(last_signal="SIGTERM")
        assert re.fullmatch(rb"\d+\.\d+\n", outcome.stdout)
        assert processes_below(tmp_path) == {}
        await rig.runner.close()


async def all_end(processes: list[RunningProcess]) -> None:
    async with asyncio.timeout(10):
        for process in processes:
            await process.end()
