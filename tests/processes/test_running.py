"""A process is started as it was asked for, and how it ended is told."""

import asyncio
import os
import signal
from pathlib import Path

import psutil  # type: ignore[import-untyped]
import pytest

from host.processes.connection import Ended, TreeEnded
from host.processes.runner import Job, ProcessNotStarted, ProcessRunner
from tests.processes.conftest import Rig, keeper_of, outcome_of, pid_of, ready_shim
from tests.support.host import eventually
from tests.support.processes import is_alive


@pytest.mark.parametrize("code", [0, 1, 3, 126, 255])
async def test_an_exit_code_is_told(rig: Rig, code: int) -> None:
    outcome = await rig.run(f"exit {code}")
    assert outcome.ended == Ended(exit_code=code)
    assert outcome.tree == TreeEnded()


@pytest.mark.parametrize(
    ("number", "name"),
    [(signal.SIGKILL, "SIGKILL"), (signal.SIGSEGV, "SIGSEGV"), (signal.SIGTERM, "SIGTERM"), (37, "SIGRTMIN+3")],
)
async def test_the_signal_that_ended_it_is_told_by_its_name(rig: Rig, number: int, name: str) -> None:
    outcome = await rig.run(f"ulimit -c 0; kill -{int(number)} $$")
    assert outcome.ended == Ended(signal=name)


async def test_stdout_and_stderr_come_apart(rig: Rig) -> None:
    outcome = await rig.run("echo out; echo err >&2")
    assert (outcome.stdout, outcome.stderr) == (b"out\n", b"err\n")


async def test_without_stdin_a_reader_sees_its_end_at_once(rig: Rig) -> None:
    assert (await rig.run("cat; echo done")).stdout == b"done\n"


async def test_what_is_written_to_stdin_arrives_whole(rig: Rig) -> None:
    process = await rig.start("cat", wants_stdin=True)
    assert process.stdin is not None
    content = os.urandom(1_000_000)

    async def feed() -> None:
        assert process.stdin is not None
        await process.stdin.write(content)
        process.stdin.close()

    _, outcome = await asyncio.gather(feed(), outcome_of(process))
    assert outcome.stdout == content


async def test_writing_to_a_process_that_reads_no_more_is_an_error(rig: Rig) -> None:
    process = await rig.start("exec <&-; echo closed; sleep 100", wants_stdin=True)
    assert process.stdin is not None
    async with process:
        assert await process.read() == ("stdout", b"closed\n")
        with pytest.raises(BrokenPipeError):
            await process.stdin.write(b"x" * 1_000_000)


async def test_writing_ends_with_the_process(rig: Rig) -> None:
    process = await rig.start("sleep 100", wants_stdin=True)
    assert process.stdin is not None
    async with process:
        writing = asyncio.create_task(process.stdin.write(b"x" * 1_000_000))
        await asyncio.sleep(0)
        process.kill()
        with pytest.raises(BrokenPipeError):
            await writing


async def test_it_runs_in_the_directory_that_was_opened_whatever_its_path_is_now(rig: Rig) -> None:
    before = rig.path / "before"
    before.mkdir()
    (before / "here").touch()
    descriptor = os.open(before, os.O_RDONLY | os.O_DIRECTORY)
    before.rename(rig.path / "after")
    before.mkdir()
    process = await rig.runner.start(Job(("/bin/ls",), rig.environment, descriptor))
    os.close(descriptor)
    assert (await outcome_of(process)).stdout == b"here\n"


async def test_it_sees_the_given_environment_and_nothing_else(rig: Rig) -> None:
    environment = {**rig.environment, "MANY": "a\nb=c", "RAW": "caf\udce9", "EMPTY": ""}
    process = await rig.runner.start(Job(("/usr/bin/env", "-0"), environment, rig.directory))
    told = (await outcome_of(process)).stdout.decode(errors="surrogateescape").split("\0")
    assert sorted(told) == sorted(["", *(f"{name}={value}" for name, value in environment.items())])


async def test_arguments_arrive_as_they_are(rig: Rig) -> None:
    arguments = ("", "a b", "-x", "ü", "caf\udce9", "line\nbreak")
    job = Job(("/bin/bash", "-c", 'printf "%s\\0" "$@"', "bash", *arguments), rig.environment, rig.directory)
    outcome = await outcome_of(await rig.runner.start(job))
    assert outcome.stdout.decode(errors="surrogateescape") == "".join(f"{argument}\0" for argument in arguments)


async def test_nothing_but_stdin_stdout_and_stderr_is_open(rig: Rig) -> None:
    # The fourth is the listed directory itself.
    assert (await rig.run("exec ls /proc/self/fd")).stdout == b"0\n1\n2\n3\n"


async def test_every_signal_has_its_default_and_none_is_blocked(rig: Rig) -> None:
    status = (await rig.run("exec cat /proc/self/status")).stdout.decode()
    masks = dict(line.split(":\t") for line in status.splitlines() if line.startswith("Sig") and ":\t" in line)
    # 32 and 33 are the C library's own, which it ignores in all that it spawns.
    library = (1 << 31) | (1 << 32)
    assert {name: int(masks[name], 16) & ~library for name in ("SigBlk", "SigIgn", "SigCgt")} == {
        "SigBlk": 0,
        "SigIgn": 0,
        "SigCgt": 0,
    }


async def test_it_leads_a_session_without_a_terminal(rig: Rig) -> None:
    process = await rig.start("exec sleep 100")
    async with process:
        assert os.getsid(pid_of(process)) == os.getpgid(pid_of(process)) == pid_of(process)
        assert psutil.Process(pid_of(process)).terminal() is None


async def test_the_umask_is_the_daemons(rig: Rig) -> None:
    mask = os.umask(0o027)
    os.umask(mask)
    assert int((await rig.run("umask")).stdout, 8) == mask


@pytest.mark.parametrize("name", ["missing", "missing/below"])
async def test_a_missing_program_is_told(rig: Rig, name: str) -> None:
    program = str(rig.path / name)
    with pytest.raises(ProcessNotStarted, match="There is no such program"):
        await rig.runner.start(Job((program,), rig.environment, rig.directory))


async def test_a_program_that_may_not_be_run_is_told(rig: Rig) -> None:
    program = rig.path / "program"
    program.touch(0o600)
    with pytest.raises(ProcessNotStarted, match="may not run it"):
        await rig.runner.start(Job((str(program),), rig.environment, rig.directory))


@pytest.mark.parametrize("size", [3_000_000, 20_000_000])
async def test_an_environment_that_no_system_takes_is_told(rig: Rig, size: int) -> None:
    with pytest.raises(ProcessNotStarted, match="too long"):
        await rig.runner.start(Job(("/bin/true",), {"A": "x" * size}, rig.directory))


async def test_a_large_environment_arrives(rig: Rig) -> None:
    values = {f"V{number}": "x" * 100_000 for number in range(8)}
    job = Job(("/bin/sh", "-c", "echo ${#V7}"), {**rig.environment, **values}, rig.directory)
    assert (await outcome_of(await rig.runner.start(job))).stdout == b"100000\n"


async def test_what_no_process_can_be_given_is_refused(rig: Rig) -> None:
    for job in (
        Job(("/bin/echo", "a\0b"), rig.environment, rig.directory),
        Job(("/bin/echo",), {"A": "\0"}, rig.directory),
        Job(("/bin/echo", "\ud800"), rig.environment, rig.directory),
    ):
        with pytest.raises(ValueError):  # noqa: PT011 - encoding errors among them
            await rig.runner.start(job)


async def test_a_process_is_started_below_the_shim_that_stood_ready(rig: Rig) -> None:
    ready = await ready_shim(rig)
    process = await rig.start("exec sleep 100")
    async with process:
        assert psutil.Process(pid_of(process)).ppid() == ready.pid


async def test_many_start_at_once(rig: Rig) -> None:
    outcomes = await asyncio.gather(*(rig.run(f"echo {number}") for number in range(40)))
    assert [outcome.stdout for outcome in outcomes] == [b"%d\n" % number for number in range(40)]


async def test_a_cancelled_start_leaves_nothing(rig: Rig) -> None:
    for _ in range(20):
        starting = asyncio.create_task(rig.start("sleep 100"))
        await asyncio.sleep(0)
        starting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await starting
    assert (await rig.run("echo fine")).stdout == b"fine\n"


async def test_a_cancelled_wait_can_be_made_again(rig: Rig) -> None:
    process = await rig.start("read -t 0.2 < <(sleep 100); exit 4")
    async with process:
        for _ in range(3):
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(process.wait(), 0.001)
        assert await process.wait() == await process.wait() == Ended(exit_code=4)


@pytest.mark.slow
async def test_two_hundred_runs_leave_no_descriptor_and_no_zombie(rig: Rig) -> None:
    await ready_shim(rig)
    before = open_descriptors(keeper_of(rig.runner)), open_descriptors(os.getpid())
    for _ in range(200):
        assert (await rig.run("echo once")).stdout == b"once\n"
    await eventually(lambda: (open_descriptors(keeper_of(rig.runner)), open_descriptors(os.getpid())) == before)
    await eventually(lambda: len(psutil.Process(keeper_of(rig.runner)).children(recursive=True)) == 1)


async def test_after_close_nothing_is_started(tmp_path: Path, directory: int) -> None:
    runner = ProcessRunner()
    await runner.close()
    with pytest.raises(ProcessNotStarted, match="stopping"):
        await runner.start(Job(("/bin/true",), {}, directory))
    assert runner.keeper_pid is None


async def test_a_program_that_was_moved_while_it_runs_is_not_called_the_users_fault(
    tmp_path: Path, directory: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    runner = ProcessRunner()
    monkeypatch.setattr("sys.executable", str(tmp_path / "moved" / "python"))
    await runner.prepare()
    with pytest.raises(ProcessNotStarted, match="PocketCoder was moved or removed"):
        await runner.start(Job(("/bin/true",), {}, directory))
    monkeypatch.undo()
    async with await runner.start(Job(("/bin/true",), {}, directory)):
        pass
    await runner.close()


async def test_a_runner_that_is_used_after_its_keeper_was_killed_starts_another(rig: Rig) -> None:
    first = keeper_of(rig.runner)
    os.kill(first, signal.SIGKILL)
    await eventually(lambda: not is_alive(first))
    # One shim still stood ready.
    for _ in range(3):
        assert (await rig.run("echo fine")).stdout == b"fine\n"
    await eventually(lambda: keeper_of(rig.runner) != first)


def open_descriptors(pid: int) -> int:
    return len(os.listdir(f"/proc/{pid}/fd"))
