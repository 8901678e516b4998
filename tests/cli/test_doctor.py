"""Faults put in by hand: ``pocketcoder doctor`` finds each, and names what mends it."""

import json
import os
import signal
import socket
import ssl
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread
from types import SimpleNamespace
from typing import Any, ClassVar

import pytest
import trustme

from host.core.home import HostPaths
from host.core.settings import Settings
from host.doctor import machine as machine_checks
from host.doctor import network
from host.doctor.examination import examine
from host.doctor.finding import Finding, Patient
from tests.cli.commands import FAILED
from tests.support.keyrings import HangingKeyring
from tests.support.processes import Bench, MachineProcess, RelayProcess

pytestmark = pytest.mark.slow


def examined(machine: MachineProcess, *, fails: bool) -> dict[str, dict[str, Any]]:
    """The findings by their checks."""
    done = machine.command("doctor", "--json")
    assert "Traceback" not in done.stderr
    assert done.returncode == (FAILED if fails else 0), done.stdout
    return {each["check"]: each for each in json.loads(done.stdout)["checks"]}


@pytest.fixture
def agent_variables(tmp_path: Path) -> dict[str, str]:
    """An agent that only says what the doctor asks."""
    claude = tmp_path / "claude"
    claude.write_text('#!/bin/sh\n[ "$1" = auth ] && echo \'{"loggedIn": true}\' || echo "2.1.197 (Claude Code)"\n')
    claude.chmod(0o755)
    return {"POCKETCODER_CLAUDE": str(claude)}


@pytest.fixture
def well(bench: Bench, agent_variables: dict[str, str]) -> tuple[RelayProcess, MachineProcess]:
    """A machine that lacks nothing."""
    relay, machine = bench.relay(), bench.machine(**agent_variables)
    machine.login(relay.url)
    machine.add(bench.project())
    machine.start()
    machine.wait_until_connected()
    return relay, machine


def test_a_healthy_machine_has_no_fault_and_each_fault_is_found_with_its_mend(
    well: tuple[RelayProcess, MachineProcess],
) -> None:
    relay, machine = well
    assert {each["state"] for each in examined(machine, fails=False).values()} == {"ok"}
    assert "Mend" not in machine.succeed("doctor")

    # 1: a file that others may read
    (machine.home / "machine-label.txt").write_text("x\n")
    os.chmod(machine.home, 0o755)
    assert "had mode 0755" in machine.command("doctor").stderr
    stray = machine.home / "stray.txt"
    stray.touch()
    stray.chmod(0o644)
    found = examined(machine, fails=True)["files"]
    assert (found["state"], found["mend"]) == ("broken", f"chmod 600 {stray}")
    stray.unlink()

    # 2: no agent
    agent = Path(machine.variables["POCKETCODER_CLAUDE"])
    agent.rename(agent.with_name("elsewhere"))
    assert "config.toml" in examined(machine, fails=False)["agent"]["mend"]

    # 3: an agent that nobody signed in
    agent.write_text("#!/bin/sh\necho '{\"loggedIn\": false}'\n")
    agent.chmod(0o755)
    assert "/login" in examined(machine, fails=False)["agent"]["mend"]

    # 4: a daemon that hangs
    pid = machine.daemon_pid
    assert pid is not None
    os.kill(pid, signal.SIGSTOP)
    hangs = examined(machine, fails=True)
    os.kill(pid, signal.SIGCONT)
    assert hangs["daemon"]["state"] == "broken"
    assert f"kill -9 {pid}" in hangs["daemon"]["mend"]
    assert "does not run." not in hangs["connection"]["message"]

    # 5: the relay is gone
    relay.stop()
    machine.wait_for_state("reconnecting")
    gone = examined(machine, fails=True)
    assert "Start the relay" in gone["relay"]["mend"]
    assert gone["connection"]["state"] == "broken"
    assert gone["round trip"]["state"] == "unknown"

    # 6: nobody is signed in
    machine.succeed("logout")
    nobody = examined(machine, fails=True)
    assert nobody["sign-in"]["mend"] == f"pocketcoder login --relay {relay.url}"
    assert nobody["connection"]["state"] == "unknown"

    # 7: no daemon
    machine.stop()
    assert examined(machine, fails=True)["daemon"]["mend"] == "pocketcoder start"


@pytest.fixture
def patient(tmp_path: Path) -> Patient:
    return Patient(HostPaths(tmp_path), Settings(), {"PATH": str(tmp_path)}, "wss://relay.invalid")


def test_a_name_that_leads_nowhere_is_found(patient: Patient, monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown(*_: object, **__: object) -> None:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    found = network.name(patient)
    assert found.state == "broken"
    assert "relay.invalid" in found.message
    assert "pocketcoder login --relay" in found.mend


class _Proxy(BaseHTTPRequestHandler):
    """Takes whoever asks to be the relay's: what it is asked for is in ``asked``."""

    asked: ClassVar[list[str]] = []

    def do_CONNECT(self) -> None:
        self.asked.append(self.path)
        self.send_error(502)


def test_a_relay_behind_a_proxy_is_looked_for_on_the_daemons_own_way(
    patient: Patient, monkeypatch: pytest.MonkeyPatch
) -> None:
    with HTTPServer(("127.0.0.1", 0), _Proxy) as proxy:
        Thread(target=proxy.serve_forever, daemon=True).start()
        monkeypatch.setenv("https_proxy", f"http://127.0.0.1:{proxy.server_port}")
        monkeypatch.delenv("no_proxy", raising=False)
        # Only the proxy knows the name.
        assert network.name(patient).state == "ok"
        assert network.reachable(patient).state == "broken"
        assert _Proxy.asked == ["relay.invalid:443"]

        patient.relay_url = "wss://127.0.0.1:1"
        assert network.reachable(patient).state == "broken"
        assert _Proxy.asked == ["relay.invalid:443"]
        proxy.shutdown()


def test_a_certificate_that_is_not_trusted_is_found(patient: Patient) -> None:
    authority = trustme.CA()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    with HTTPServer(("127.0.0.1", 0), _Tomorrow) as server:
        server.socket = context.wrap_socket(server.socket, server_side=True)
        Thread(target=server.serve_forever, daemon=True).start()
        patient.relay_url = f"wss://127.0.0.1:{server.server_port}"
        found = network.reachable(patient)
        server.shutdown()
    assert "is not trusted: " in found.message
    assert "SSL_CERT_FILE" in found.mend


def test_a_full_disk_is_found(patient: Patient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shutil.disk_usage", lambda _: SimpleNamespace(free=1024))
    found = machine_checks.disk(patient)
    assert (found.state, found.mend) == ("broken", "Free some space on that disk.")


def test_too_few_watches_are_found(patient: Patient, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    limit = tmp_path / "max_user_watches"
    limit.write_text("8192\n")
    monkeypatch.setattr(machine_checks, "_WATCH_LIMIT", limit)
    assert "sudo sysctl fs.inotify.max_user_watches=524288" in machine_checks.watches(patient).mend


def test_no_git_and_an_old_one_are_found(patient: Patient, tmp_path: Path) -> None:
    assert "Install git" in machine_checks.git(patient).mend
    old = tmp_path / "git"
    old.write_text("#!/bin/sh\necho git version 2.30.1\n")
    old.chmod(0o755)
    assert "2.38" in machine_checks.git(patient).mend


def test_an_agent_is_looked_for_where_the_daemon_looks(
    patient: Patient, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    patient.environ = {"PATH": str(tmp_path), "HOME": str(tmp_path)}
    assert "was not found" in machine_checks.agent(patient).message
    installed = tmp_path / ".local" / "bin" / "claude"
    installed.parent.mkdir(parents=True)
    installed.write_text("#!/bin/sh\n")
    installed.chmod(0o755)
    assert "is not signed in" in machine_checks.agent(patient).message

    patient.settings.claude_path = "~/.local/bin/claude"
    assert "is not signed in" in machine_checks.agent(patient).message
    patient.settings.claude_path = "~/elsewhere"
    assert machine_checks.agent(patient).message == "No program that may be run is at ~/elsewhere."


def test_a_keyring_that_hangs_is_found(patient: Patient, monkeypatch: pytest.MonkeyPatch) -> None:
    HangingKeyring.released.clear()
    monkeypatch.setattr("keyring.get_keyring", HangingKeyring)
    try:
        assert "Unlock the keyring" in machine_checks.keyring(patient).mend
    finally:
        HangingKeyring.released.set()


class _Tomorrow(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response_only(200)
        self.send_header("Date", self.date_time_string(int(time.time()) + 86_400))
        self.end_headers()


@pytest.fixture
def relay_of_tomorrow() -> Iterator[str]:
    with HTTPServer(("127.0.0.1", 0), _Tomorrow) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        yield f"ws://127.0.0.1:{server.server_port}"
        server.shutdown()


def test_a_clock_that_is_a_day_off_is_found(patient: Patient, relay_of_tomorrow: str) -> None:
    patient.relay_url = relay_of_tomorrow
    found = network.clock(patient)
    assert found.state == "warning"
    assert "1,440 minutes" in found.message
    assert "set-ntp" in found.mend


def test_settings_that_are_wrong_are_a_finding_too(machine: MachineProcess) -> None:
    machine.home.mkdir(mode=0o700)
    (machine.home / "config.toml").write_text("[log]\nlevle = 'info'\n")
    (finding,) = examined(machine, fails=True).values()
    assert finding["check"] == "settings"
    assert "Did you mean log.level?" in finding["message"]
    assert "BROKEN   settings" in machine.command("doctor").stdout


def test_a_pid_file_that_somebody_wrote_into_is_a_finding_with_its_mend(machine: MachineProcess) -> None:
    pid = machine.start()
    (machine.home / "daemon.pid").write_text("x")
    found = examined(machine, fails=True)
    (machine.home / "daemon.pid").write_text(f"{pid}\n")
    assert found["daemon"]["state"] == "broken"
    assert "end that process" in found["daemon"]["message"]
    assert found["round trip"]["state"] == "unknown"


def test_links_and_a_config_that_any_editor_wrote_are_no_fault(patient: Patient, tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir(0o700)
    (elsewhere / "config.toml").touch(0o600)
    home = tmp_path / "home"
    home.symlink_to(elsewhere)
    linked = Patient(HostPaths(home), patient.settings, patient.environ, patient.relay_url)
    (home / "leads-nowhere").symlink_to(tmp_path / "nowhere")
    (home / "config.toml").chmod(0o644)
    assert machine_checks.files(linked).state == "ok"

    (home / "config.toml").chmod(0o666)
    assert machine_checks.files(linked).mend == f"chmod 600 {home / 'config.toml'}"


def test_a_check_that_fails_is_a_finding_and_ends_nothing(patient: Patient) -> None:
    def fails(_: Patient) -> Finding:
        raise ZeroDivisionError("s3cret")

    first, second = examine(patient, {"a": fails, "b": lambda _: Finding("ok", "well")})
    assert first.finding.state == "broken"
    assert "s3cret" not in first.finding.message
    assert second.finding.state == "ok"
