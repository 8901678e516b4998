"""Output comes as it is written; who does not read makes the writer wait."""

import asyncio
import os
import time
from pathlib import Path

import psutil  # type: ignore[import-untyped]
import pytest

from host.processes.connection import Ended, TreeEnded
from host.processes.output import MAX_PIECE_BYTES
from host.processes.runner import ProcessRunner
from tests.processes.conftest import DRAIN_S, Rig, pid_of
from tests.support.host import eventually
from tests.support.processes import environment, no_process_left

MB = 1024 * 1024


async def test_output_comes_while_the_process_runs(rig: Rig) -> None:
    process = await rig.start("echo one; read; echo two", wants_stdin=True)
    assert process.stdin is not None
    async with process:
        assert await process.read() == ("stdout", b"one\n")
        await process.stdin.write(b"\n")
        assert await process.read() == ("stdout", b"two\n")
        assert await process.read() is None


async def test_pieces_are_bounded(rig: Rig) -> None:
    process = await rig.start("head -c 1000000 /dev/zero")
    async with process:
        sizes = []
        while (piece := await process.read()) is not None:
            sizes.append(len(piece[1]))
    assert sum(sizes) == 1_000_000
    assert max(sizes) <= MAX_PIECE_BYTES


async def test_a_flood_on_one_stream_does_not_hide_the_other(rig: Rig) -> None:
    process = await rig.start("yes & sleep 0.05; echo here >&2; wait")
    async with process:
        async with asyncio.timeout(10):
            while (await process.read()) != ("stderr", b"here\n"):
                pass


async def test_a_flood_lets_everything_else_run(rig: Rig) -> None:
    async def drain() -> None:
        while await process.read() is not None:
            pass

    process = await rig.start("exec yes")
    async with process:
        draining = asyncio.create_task(drain())
        for _ in range(50):
            await asyncio.wait_for(asyncio.sleep(0), 1)
        assert not draining.done()
        draining.cancel()


async def test_a_cancelled_read_loses_nothing(rig: Rig) -> None:
    process = await rig.start("for i in $(seq 300); do echo $i; done")
    received = b""
    async with process:
        while True:
            try:
                piece = await asyncio.wait_for(process.read(), 0.0005)
            except TimeoutError:
                continue
            if piece is None:
                break
            received += piece[1]
    assert received == b"".join(b"%d\n" % number for number in range(1, 301))


async def test_who_does_not_read_makes_the_process_wait(rig: Rig) -> None:
    done = rig.path / "done"
    process = await rig.start(f"head -c {50 * MB} /dev/zero; touch '{done}'")
    own = psutil.Process()
    async with process:
        await eventually(lambda: waits_to_write(pid_of(process)))
        before = own.memory_info().rss
        piece = await process.read()
        assert piece is not None
        await eventually(lambda: waits_to_write(pid_of(process)))
        assert own.memory_info().rss - before < 5 * MB
        assert not done.exists()
        size = len(piece[1])
        while (piece := await process.read()) is not None:
            size += len(piece[1])
    assert size == 50 * MB
    assert done.exists()


async def test_memory_stays_flat_while_much_is_read(rig: Rig) -> None:
    own = psutil.Process()
    process = await rig.start(f"exec head -c {200 * MB} /dev/zero")
    async with process:
        await process.read()
        before = own.memory_info().rss
        size = 0
        while (piece := await process.read()) is not None:
            size += len(piece[1])
    assert size > 190 * MB
    assert own.memory_info().rss - before < 5 * MB


async def test_a_background_child_that_holds_stdout_does_not_hold_the_reader(rig: Rig) -> None:
    start_s = time.monotonic()
    outcome = await rig.run("sleep 100 & echo started; exit 2")
    assert DRAIN_S <= time.monotonic() - start_s < 5
    assert outcome.stdout == b"started\n"
    assert outcome.ended == Ended(exit_code=2)
    assert outcome.tree == TreeEnded(last_signal="SIGTERM")


async def test_a_background_child_that_writes_without_end_does_not_hold_the_reader(rig: Rig) -> None:
    outcome = await rig.run("yes & echo $$ >&2")
    assert outcome.ended == Ended(exit_code=0)
    assert outcome.stdout.startswith(b"y\n")


async def test_what_is_written_within_the_drain_time_is_read(tmp_path: Path, directory: int) -> None:
    rig = Rig(ProcessRunner(drain_s=30), tmp_path, directory, environment(tmp_path))
    with no_process_left(tmp_path):
        outcome = await rig.run("(sleep 0.1; echo late) & echo early")
        await rig.runner.close()
    assert outcome.stdout == b"early\nlate\n"


async def test_a_slow_reader_still_gets_all_that_was_written_before_the_end(rig: Rig) -> None:
    process = await rig.start("head -c 60000 /dev/zero; echo last >&2; sleep 100 &")
    async with process:
        await process.wait()
        await asyncio.sleep(DRAIN_S * 1.5)
        first, second = await process.read(), await process.read()
        assert {first, second} == {("stdout", bytes(60000)), ("stderr", b"last\n")}
        assert await process.read() is None
        assert await process.read() is None


async def test_a_process_may_close_its_output_and_go_on(rig: Rig) -> None:
    process = await rig.start("exec >&- 2>&-; sleep 0.1; exit 5")
    async with process:
        assert await process.read() is None
        assert await process.wait() == Ended(exit_code=5)


async def test_a_read_ends_when_the_pipes_are_closed_by_another_task(rig: Rig) -> None:
    process = await rig.start("sleep 100")
    reading = asyncio.create_task(process.read())
    await asyncio.sleep(0.01)
    await process.end()
    assert await asyncio.wait_for(reading, 5) is None


@pytest.mark.slow
async def test_a_large_output_comes_whole(rig: Rig, tmp_path: Path) -> None:
    content = os.urandom(20 * MB)
    (tmp_path / "large").write_bytes(content)
    assert (await rig.run("exec cat large")).stdout == content


def waits_to_write(pid: int) -> bool:
    """Whether the process, or a child of it, sleeps until a pipe has room."""
    processes = [psutil.Process(pid), *psutil.Process(pid).children()]
    return any("pipe_write" in Path(f"/proc/{process.pid}/wchan").read_text() for process in processes)
