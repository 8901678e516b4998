import os
import signal
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from host.core import instance_lock
from host.core.instance_lock import AlreadyRunning, InstanceLock, LockUnavailable, holder

HOLD = """
import sys
from pathlib import Path
from host.core.instance_lock import AlreadyRunning, InstanceLock
try:
    lock = InstanceLock.acquire(Path(sys.argv[1]))
except AlreadyRunning:
    print("refused", flush=True)
else:
    print("held", flush=True)
    sys.stdin.readline()
    lock.release()
"""


@pytest.fixture
def pid_file(tmp_path: Path) -> Path:
    return tmp_path / "daemon.pid"


def start_holder(pid_file: Path) -> "subprocess.Popen[str]":
    command = [sys.executable, "-c", HOLD, str(pid_file)]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def first_line(process: "subprocess.Popen[str]") -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


def test_a_held_lock_names_its_process_and_lets_no_second_one_in(pid_file: Path) -> None:
    lock = InstanceLock.acquire(pid_file)

    assert pid_file.read_text() == f"{os.getpid()}\n"
    assert stat.S_IMODE(pid_file.stat().st_mode) == 0o600
    assert holder(pid_file) == os.getpid()
    with pytest.raises(AlreadyRunning, match=f"already running .process {os.getpid()}") as refusal:
        InstanceLock.acquire(pid_file)
    assert refusal.value.pid == os.getpid()
    lock.release()


def test_a_file_that_was_overwritten_while_it_is_held_is_not_taken_for_free(pid_file: Path) -> None:
    lock = InstanceLock.acquire(pid_file)
    pid_file.write_text("no number")

    with pytest.raises(LockUnavailable, match="does not name its process"):
        holder(pid_file, sleep=lambda _: None)
    lock.release()


def test_a_released_lock_leaves_no_file_and_can_be_taken_again(pid_file: Path) -> None:
    lock = InstanceLock.acquire(pid_file)
    lock.release()

    assert not pid_file.exists()
    assert holder(pid_file) is None
    InstanceLock.acquire(pid_file).release()


def test_a_second_release_does_not_remove_the_next_holders_file(pid_file: Path) -> None:
    first = InstanceLock.acquire(pid_file)
    first.release()
    second = InstanceLock.acquire(pid_file)

    first.release()

    assert holder(pid_file) == os.getpid()
    second.release()


def test_a_release_does_not_remove_a_file_that_is_not_the_locked_one(pid_file: Path) -> None:
    lock = InstanceLock.acquire(pid_file)
    pid_file.unlink()
    pid_file.write_text("another's\n")

    lock.release()

    assert pid_file.read_text() == "another's\n"


def test_a_file_that_nobody_holds_names_nobody_even_if_its_process_lives(pid_file: Path) -> None:
    pid_file.write_text(f"{os.getpid()}\n")

    assert holder(pid_file) is None
    InstanceLock.acquire(pid_file).release()


def test_a_longer_stale_content_is_gone_once_the_lock_is_taken(pid_file: Path) -> None:
    pid_file.write_text("123456789012345678901234567890\nand more\n")

    lock = InstanceLock.acquire(pid_file)

    assert pid_file.read_text() == f"{os.getpid()}\n"
    lock.release()


def test_a_killed_holder_holds_nothing(pid_file: Path) -> None:
    with start_holder(pid_file) as process:
        assert first_line(process) == "held"
        assert holder(pid_file) == process.pid
        process.send_signal(signal.SIGKILL)

    assert pid_file.exists()
    assert holder(pid_file) is None
    InstanceLock.acquire(pid_file).release()


def test_the_lock_is_not_inherited_by_a_program_that_outlives_the_holder(pid_file: Path) -> None:
    lock = InstanceLock.acquire(pid_file)
    with subprocess.Popen(["cat"], stdin=subprocess.PIPE, close_fds=False) as child:
        pid_file_still_there = pid_file.exists()
        lock.release()
        assert pid_file_still_there
        InstanceLock.acquire(pid_file).release()
        assert child.stdin is not None
        child.stdin.close()


def test_who_asks_for_the_holder_does_not_turn_a_daemon_away(pid_file: Path) -> None:
    import fcntl

    pid_file.touch()
    asking = os.open(pid_file, os.O_RDONLY)
    fcntl.flock(asking, fcntl.LOCK_SH)
    waits: list[float] = []

    def answer_meanwhile(seconds: float) -> None:
        waits.append(seconds)
        if len(waits) == 3:
            os.close(asking)

    InstanceLock.acquire(pid_file, sleep=answer_meanwhile).release()
    assert len(waits) == 3


def test_a_file_removed_between_opening_and_locking_gives_no_second_holder(
    pid_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    try_lock = instance_lock._try_lock
    replaced: list[int] = []

    def lock_after_the_file_was_replaced(descriptor: int, *, exclusive: bool) -> bool:
        if not replaced:
            replaced.append(os.fstat(descriptor).st_ino)
            pid_file.rename(pid_file.with_suffix(".old"))
        return try_lock(descriptor, exclusive=exclusive)

    monkeypatch.setattr(instance_lock, "_try_lock", lock_after_the_file_was_replaced)
    lock = InstanceLock.acquire(pid_file)

    assert pid_file.stat().st_ino != replaced[0]
    assert holder(pid_file) == os.getpid()
    lock.release()


def test_a_system_without_such_locks_is_told_as_a_sentence(pid_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(instance_lock, "fcntl", None)

    with pytest.raises(LockUnavailable, match="does not run on this system yet"):
        InstanceLock.acquire(pid_file)


@pytest.mark.slow
def test_of_twenty_processes_that_race_exactly_one_wins_and_the_next_race_too(pid_file: Path) -> None:
    for _ in range(2):
        processes = [start_holder(pid_file) for _ in range(20)]
        answers = [first_line(process) for process in processes]
        winner = processes[answers.index("held")]

        assert sorted(answers) == ["held"] + ["refused"] * 19
        assert holder(pid_file) == winner.pid
        winner.kill()
        for process in processes:
            process.communicate()


def test_while_holders_come_and_go_no_two_hold_at_once(pid_file: Path) -> None:
    code = """
import os, sys
from pathlib import Path
from host.core.instance_lock import AlreadyRunning, InstanceLock
path, alone = Path(sys.argv[1]), Path(sys.argv[1] + ".alone")
taken = 0
while taken < 50:
    try:
        lock = InstanceLock.acquire(path)
    except AlreadyRunning:
        continue
    os.close(os.open(alone, os.O_CREAT | os.O_EXCL))
    taken += 1
    alone.unlink()
    lock.release()
"""
    processes = [subprocess.Popen([sys.executable, "-c", code, str(pid_file)]) for _ in range(4)]

    assert [process.wait() for process in processes] == [0] * 4
