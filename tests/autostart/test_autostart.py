"""What is written for the system, that the system understands it, and that it can be taken back.

The system's tools are played: a user's service manager can't be had everywhere. What is written is
judged by the real ones where they are.
"""

import os
import plistlib
import shutil
import subprocess
import threading
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from host.autostart.choice import autostart, start_of
from host.autostart.launchd import Launchd
from host.autostart.lookout import AutostartLookout
from host.autostart.port import Autostart, AutostartFailed, AutostartState, Start
from host.autostart.systemd import Systemd, unit
from host.autostart.windows import WindowsTask
from tests.support.processes import eventually

AWKWARD = {"GATEWAY_URL": "wss://relay.example", "POCKETCODER_HOME": '/a b/50%/$HOME/"q"\\n'}


@dataclass
class Tools:
    """Takes what it is told, as a service manager that knows what was enabled."""

    calls: list[tuple[str, ...]] = field(default_factory=list)
    is_enabled: bool = False
    refuses: bool = False

    def __call__(self, *argv: str) -> str:
        self.calls.append(argv)
        if self.refuses:
            raise AutostartFailed("Failed to connect to bus.")
        asks = {"is-enabled", "print", "/Query", "bootout"} & set(argv)
        if asks and not self.is_enabled:
            raise AutostartFailed("No such service.")
        if {"enable", "bootstrap", "/Create"} & set(argv):
            self.is_enabled = True
        if {"disable", "bootout", "/Delete"} & set(argv):
            self.is_enabled = False
        return "Linger=no\n" if "show-user" in argv else ""


@pytest.fixture
def tools() -> Tools:
    return Tools()


@pytest.fixture(params=["systemd", "launchd", "windows"])
def way(request: pytest.FixtureRequest, tmp_path: Path, tools: Tools) -> Autostart:
    ways: dict[str, Autostart] = {
        "systemd": Systemd(tmp_path / "systemd" / "user", tool=tools),
        "launchd": Launchd(tmp_path / "LaunchAgents", user_id=501, tool=tools),
        "windows": WindowsTask(tool=tools),
    }
    return ways[request.param]


@pytest.fixture
def start(tmp_path: Path) -> Start:
    program = tmp_path / "bin" / "pocketcoder"
    program.parent.mkdir()
    program.touch(0o755)
    return Start(program, variables=AWKWARD)


def test_it_is_enabled_again_and_again_and_disabled_once(way: Autostart, start: Start) -> None:
    assert not way.state().enabled
    for _ in range(2):
        assert way.enable(start)
        assert way.state().enabled
        assert way.state().problem is None
    assert way.disable()
    assert not way.state().enabled
    assert not way.disable()


@pytest.mark.parametrize("system", [Systemd, Launchd])
def test_a_moved_installation_is_told_of(system: type, tmp_path: Path, tools: Tools, start: Start) -> None:
    way: Autostart = system(tmp_path, tool=tools, **({"user_id": 501} if system is Launchd else {}))
    way.enable(start)
    start.program.unlink()

    problem = way.state().problem
    assert problem is not None
    assert str(start.program) in problem
    assert "pocketcoder enable-autostart" in problem


@pytest.mark.parametrize("system", [Systemd, Launchd])
def test_what_the_system_forgot_is_told_of(system: type, tmp_path: Path, tools: Tools, start: Start) -> None:
    way: Autostart = system(tmp_path, tool=tools, **({"user_id": 501} if system is Launchd else {}))
    way.enable(start)
    tools.is_enabled = False

    assert "does not use it" in (way.state().problem or "")


@pytest.mark.parametrize(("system", "advice"), [(Systemd, "not by sudo"), (Launchd, "not over SSH")])
def test_a_service_manager_that_refuses_leaves_nothing_behind(
    system: type, advice: str, tmp_path: Path, tools: Tools, start: Start
) -> None:
    tools.refuses = True
    way: Autostart = system(tmp_path, tool=tools, **({"user_id": 501} if system is Launchd else {}))
    with pytest.raises(AutostartFailed, match=advice):
        way.enable(start)
    assert not way.file.exists()


def test_a_service_manager_that_refuses_to_take_it_back_is_told_with_what_to_do(
    tmp_path: Path, tools: Tools, start: Start
) -> None:
    way = Systemd(tmp_path, tool=tools)
    way.enable(start)
    tools.refuses = True
    with pytest.raises(AutostartFailed, match="not by sudo"):
        way.disable()
    assert way.file.exists()


def test_nothing_ends_a_daemon_that_runs(way: Autostart, start: Start, tools: Tools) -> None:
    for _ in range(2):
        way.enable(start)
    way.disable()
    assert not {"bootout", "stop", "restart", "kickstart", "/End"} & {word for call in tools.calls for word in call}


def test_a_program_whose_python_was_removed_is_told_of(tmp_path: Path, tools: Tools, start: Start) -> None:
    python = tmp_path / "python3.11"
    python.touch(0o755)
    start.program.write_text(f"#!{python}\nimport sys\n")
    way = Systemd(tmp_path, tool=tools)
    way.enable(start)
    assert way.state().problem is None

    python.unlink()
    assert f"{python}, is not there any more" in (way.state().problem or "")
    with pytest.raises(AutostartFailed, match="Install PocketCoder"):
        start_of({}, scripts=str(start.program.parent))


def test_lingering_is_explained_unless_it_is_on(tmp_path: Path, start: Start) -> None:
    told = Systemd(tmp_path, tool=Tools()).enable(start)
    assert any("loginctl enable-linger" in sentence for sentence in told)

    lingers = Systemd(tmp_path, tool=lambda *argv: "Linger=yes\n" if "show-user" in argv else "")
    assert not any("enable-linger" in sentence for sentence in lingers.enable(start))


def test_a_path_that_a_unit_cant_hold_is_refused(tmp_path: Path) -> None:
    with pytest.raises(AutostartFailed, match="Install it elsewhere"):
        unit(Start(tmp_path / "a\nExecStart=evil"))


def test_what_the_environment_says_of_pocketcoder_is_kept_and_nothing_else(tmp_path: Path) -> None:
    (tmp_path / "pocketcoder").touch()
    kept = {"GATEWAY_URL": "wss://relay.example", "SSL_CERT_FILE": "/ca.pem", "XDG_CONFIG_HOME": "/elsewhere"}
    found = start_of({**kept, "SECRET": "x", "LOG_LEVEL": ""}, scripts=str(tmp_path))

    assert found.program == tmp_path / "pocketcoder"
    assert found.variables == kept


def test_an_installation_without_its_command_is_refused(tmp_path: Path) -> None:
    with pytest.raises(AutostartFailed, match="Install PocketCoder"):
        start_of({}, scripts=str(tmp_path))


def test_an_unknown_system_is_told_how_to_start_by_hand() -> None:
    with pytest.raises(AutostartFailed, match="pocketcoder start"):
        autostart("plan9")


def test_the_agent_of_launchd_says_all_of_it(tmp_path: Path, tools: Tools, start: Start) -> None:
    way = Launchd(tmp_path, user_id=501, tool=tools)
    way.enable(start)
    content = plistlib.loads(way.file.read_bytes())

    assert content["ProgramArguments"] == [str(start.program), "start", "--foreground"]
    assert content["EnvironmentVariables"] == AWKWARD
    assert content["KeepAlive"] == {"SuccessfulExit": False}
    if shutil.which("plutil"):
        subprocess.run(["plutil", "-lint", str(way.file)], check=True)


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd-analyze is missing")
def test_systemd_understands_the_unit(tmp_path: Path, start: Start) -> None:
    file = tmp_path / "pocketcoder.service"
    file.write_text(unit(start))
    done = subprocess.run(
        ["systemd-analyze", "--user", "verify", str(file)],
        env={**os.environ, "XDG_RUNTIME_DIR": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_a_lookout_is_never_waited_for_and_looks_once_a_minute() -> None:
    goes_on, now_s, looks = threading.Event(), 1000.0, 0

    def look() -> AutostartState:
        nonlocal looks
        looks += 1
        goes_on.wait(10)
        return AutostartState(enabled=looks == 1)

    lookout = AutostartLookout(look, monotonic_s=lambda: now_s)
    assert lookout.seen() is None
    goes_on.set()
    eventually(lambda: lookout.seen() == AutostartState(enabled=True), what="The first look")
    assert looks == 1
    now_s += 61
    eventually(lambda: lookout.seen() == AutostartState(enabled=False), what="The second look")
    assert looks == 2


def test_a_look_that_fails_leaves_what_was_seen(caplog: pytest.LogCaptureFixture) -> None:
    def look() -> AutostartState:
        raise PermissionError

    lookout = AutostartLookout(look)
    assert lookout.seen() is None
    eventually(lambda: "could not be looked at" in caplog.text, what="The log's entry")
    assert lookout.seen() is None
