"""Which sessions run now, and where: what Claude Code's own files claim, checked against the system."""

import json
import os
import pty
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from host.agents.claude.live_registry import LiveRegistry, find_process
from tests.support.processes import eventually

linux_only = pytest.mark.skipif(sys.platform != "linux", reason="Needs /proc")


@pytest.fixture
def sessions(tmp_path: Path) -> Path:
    directory = tmp_path / "sessions"
    directory.mkdir()
    return directory


@pytest.fixture
def registry(sessions: Path) -> LiveRegistry:
    return LiveRegistry(sessions)


@pytest.fixture
def sleeper() -> "Iterator[subprocess.Popen[bytes]]":
    with subprocess.Popen(["sleep", "60"], stdin=subprocess.DEVNULL, start_new_session=True) as process:
        yield process
        process.kill()


def has_terminal(pid: int) -> bool:
    process = find_process(pid)
    return process is not None and process.terminal is not None


def enter(sessions: Path, pid: int, **members: Any) -> None:
    process = find_process(pid)
    entry = {"pid": pid, "sessionId": "s1", "procStart": process.start if process else "1", "entrypoint": "cli"}
    (sessions / f"{pid}.json").write_text(json.dumps({**entry, "status": "busy", **members}))


@pytest.mark.parametrize("status", ["busy", "waiting", "something new", None])
def test_a_session_that_is_worked_on_is_busy(
    registry: LiveRegistry, sessions: Path, sleeper: "subprocess.Popen[bytes]", status: str | None
) -> None:
    enter(sessions, sleeper.pid, status=status)
    assert registry.busy() == {"s1": f"another program (process {sleeper.pid})"}


def test_one_that_is_only_open_is_not(
    registry: LiveRegistry, sessions: Path, sleeper: "subprocess.Popen[bytes]"
) -> None:
    enter(sessions, sleeper.pid, status="idle")
    assert registry.busy() == {}


def test_what_a_daemon_drives_is_no_terminals(
    registry: LiveRegistry, sessions: Path, sleeper: "subprocess.Popen[bytes]"
) -> None:
    enter(sessions, sleeper.pid, status=None, entrypoint="pocketcoder")
    assert registry.busy() == {}


@linux_only
def test_the_terminal_is_named(registry: LiveRegistry, sessions: Path) -> None:
    ours, theirs = pty.openpty()
    name = os.ttyname(theirs).removeprefix("/dev/")
    with subprocess.Popen(["setsid", "--ctty", "sleep", "60"], stdin=theirs) as process:
        eventually(lambda: has_terminal(process.pid), what="The terminal")
        enter(sessions, process.pid)
        assert registry.busy() == {"s1": f"a terminal ({name}, process {process.pid})"}
        process.kill()
    os.close(ours)
    os.close(theirs)


def test_a_process_that_ended_works_on_nothing(registry: LiveRegistry, sessions: Path) -> None:
    with subprocess.Popen(["true"], stdin=subprocess.DEVNULL) as process:
        enter(sessions, process.pid)
        process.wait()
    assert registry.busy() == {}


@linux_only
def test_one_that_ended_and_was_not_waited_for_works_on_nothing(registry: LiveRegistry, sessions: Path) -> None:
    with subprocess.Popen(["true"], stdin=subprocess.DEVNULL) as process:
        os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
        enter(sessions, process.pid)
        assert registry.busy() == {}


@linux_only
def test_another_process_that_has_the_number_now_is_not_taken_for_it(
    registry: LiveRegistry, sessions: Path, sleeper: "subprocess.Popen[bytes]"
) -> None:
    enter(sessions, sleeper.pid, procStart="5")
    assert registry.busy() == {}


def test_broken_entries_hide_only_themselves(
    registry: LiveRegistry, sessions: Path, sleeper: "subprocess.Popen[bytes]", tmp_path: Path
) -> None:
    enter(sessions, sleeper.pid)
    contents = [b"", b"\xff", b"[" * 50_000, b"5", b'{"pid":"x"}', b'{"pid":-1,"sessionId":"s2"}', b" " * 100_000]
    contents += [b'{"pid":99999999999999999999,"sessionId":"s2"}', b'{"pid":1e3,"sessionId":5}']
    for number, content in enumerate(contents):
        (sessions / f"broken-{number}.json").write_bytes(content)
    os.mkfifo(sessions / "pipe.json")
    (sessions / "directory.json").mkdir()
    (sessions / "link.json").symlink_to(sessions / f"{sleeper.pid}.json")
    assert list(registry.busy()) == ["s1"]


def test_no_registry_is_no_session(tmp_path: Path) -> None:
    assert LiveRegistry(tmp_path / "missing").busy() == {}
