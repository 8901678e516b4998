"""The commands while a daemon runs, or is to be started, as processes of their own."""

import json
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.error import HTTPError
from urllib.parse import parse_qs, urlsplit
from urllib.request import urlopen

import pytest

from tests.cli.commands import DONE, FAILED, NOT_RUNNING, NOT_SIGNED_IN, projects, run_with, told, variables_of
from tests.support.processes import BIN, Bench, MachineProcess, free_port

pytestmark = pytest.mark.slow


def test_a_daemon_starts_once_answers_and_stops(machine: MachineProcess) -> None:
    started = machine.command("start")
    assert told(started, DONE) == ""
    pid = machine.daemon_pid
    assert started.stdout.splitlines() == [
        f"PocketCoder started (process {pid}).",
        "Nobody is signed in yet. Sign in with: pocketcoder login",
    ]
    assert machine.succeed("start") == f"PocketCoder is already running (process {pid}).\n"
    assert machine.succeed("start", "--foreground") == f"PocketCoder is already running (process {pid}).\n"
    assert machine.daemon_pid == pid

    assert machine.succeed("stop") == "PocketCoder stopped.\n"
    assert not (machine.home / "daemon.pid").exists()
    assert not (machine.home / "control.token").exists()
    assert told(machine.command("stop"), NOT_RUNNING)


def test_status_ends_with_4_while_nobody_is_signed_in(running: MachineProcess) -> None:
    page, as_json = running.command("status"), running.command("status", "--json")

    assert told(page, NOT_SIGNED_IN) == told(as_json, NOT_SIGNED_IN) == ""
    assert "pocketcoder login" in page.stdout
    status = json.loads(as_json.stdout)
    assert status["pid"] == running.daemon_pid
    assert status["loggedIn"] is False
    assert "user" not in status
    assert status["relay"]["state"] == "disconnected"
    assert status["relay"]["connected"] is False
    assert status["machineKey"] == running.auth()["machine_key"]
    for secret in ("access_token", "refresh_token", "accessToken", "refreshToken"):
        assert secret not in as_json.stdout


def test_projects_of_a_running_daemon_are_added_listed_and_removed(
    module_bench: Bench, running: MachineProcess
) -> None:
    root = module_bench.project()
    assert running.succeed("add", str(root), "--name", "my app").startswith("Added my app (proj_")
    (project,) = projects(running)
    assert (project["name"], project["path"]) == ("my app", str(root))
    assert running.status()["projects"] == [project]
    assert running.succeed("projects") == f"my app\t{root}\t{project['projectId']}\n"
    assert "cannot be nested" in told(running.command("add", str(root / "src")), FAILED)
    assert "does not exist" in told(running.command("add", str(root / "missing")), FAILED)

    assert running.succeed("remove", str(root)).startswith("Removed my app (")
    assert projects(running) == []
    assert "There is no project" in told(running.command("remove", "my app"), FAILED)


@pytest.mark.parametrize("arguments", [["add", "/\udcff"], ["machine", "label", "\udcff"]], ids=["add", "label"])
def test_what_is_not_utf_8_is_refused_in_a_sentence(running: MachineProcess, arguments: list[str]) -> None:
    assert "not valid UTF-8" in told(running.command(*arguments), FAILED)


def test_status_is_shown_also_where_the_terminal_lacks_a_names_letters(running: MachineProcess) -> None:
    running.succeed("machine", "label", "größer")

    done = run_with(running, "status", PYTHONIOENCODING="ascii")
    assert told(done, NOT_SIGNED_IN) == ""
    assert "gr\\xf6\\xdfer" in done.stdout


def test_a_daemon_that_listens_elsewhere_is_told_apart(running: MachineProcess) -> None:
    elsewhere = MachineProcess(running.directory, control_port=free_port())

    said = told(elsewhere.command("status"), FAILED)
    assert "POCKETCODER_CONTROL_PORT" in said
    assert f"process {running.daemon_pid}" in said
    as_json = elsewhere.command("status", "--json")
    assert json.loads(as_json.stdout)["error"]["code"] == "DAEMON_NOT_REACHABLE"
    assert as_json.returncode == FAILED


@contextmanager
def foreign_listener(port: int) -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", port)) as listener:
        listener.settimeout(10)
        yield listener


def test_a_foreign_program_on_the_control_port_is_never_shown_the_token(running: MachineProcess) -> None:
    port = free_port()
    elsewhere = MachineProcess(running.directory, control_port=port)
    token = (running.home / "control.token").read_bytes()
    with foreign_listener(port) as listener:
        command = subprocess.Popen(
            [BIN / "pocketcoder", "status"], env=variables_of(elsewhere), stderr=subprocess.PIPE, text=True
        )
        connection, _ = listener.accept()
        with connection:
            asked = connection.recv(65536)
            connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
        _, said = command.communicate(timeout=30)

    assert command.returncode == FAILED
    assert f"Port {port} is taken by another program" in said
    assert token not in asked


def test_a_daemon_does_not_start_on_a_port_that_is_taken(machine: MachineProcess) -> None:
    with foreign_listener(machine.control_port):
        background, foreground = machine.command("start"), machine.command("start", "--foreground")
    sentence = f"The control port {machine.control_port} is taken by another program"

    assert sentence in told(background, FAILED)
    assert sentence in foreground.stderr
    assert foreground.returncode == FAILED
    assert machine.daemon_pid is None
    assert told(machine.command("status"), NOT_RUNNING)


def test_a_daemon_starts_over_what_a_killed_one_left(machine: MachineProcess) -> None:
    machine.start()
    machine.kill()
    assert (machine.home / "daemon.pid").exists()
    assert told(machine.command("status"), NOT_RUNNING)

    machine.start()
    assert machine.status()["pid"] == machine.daemon_pid


def test_damaged_files_are_set_aside_with_a_warning_and_the_machine_stays_the_same(
    bench: Bench, machine: MachineProcess
) -> None:
    machine.add(bench.project())
    machine.start()
    key = machine.status()["machineKey"]
    machine.stop()
    (machine.home / "auth.json").write_bytes(b"{garbage")
    machine.start()
    status = machine.status()
    assert status["machineKey"] == machine.auth()["machine_key"] == key
    assert any("auth.json" in warning for warning in status["capabilities"]["warnings"])
    machine.stop()

    (machine.home / "daemon.db").write_bytes(b"garbage" * 1000)
    machine.start()
    status = machine.status()
    assert status["machineKey"] == key
    assert any("daemon.db" in warning for warning in status["capabilities"]["warnings"])
    assert len(list(machine.home.glob("*.corrupt-*"))) == 2


class Login:
    """``pocketcoder login --no-browser``, and the browser that the test is."""

    def __init__(self, machine: MachineProcess, relay_url: str) -> None:
        self._process = subprocess.Popen(
            [BIN / "pocketcoder", "login", "--relay", relay_url, "--no-browser"],
            env=variables_of(machine),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert self._process.stdout is not None
        self.url = self._process.stdout.readline().removesuffix("\n")

    def come_back(self, **query: str) -> None:
        """Be sent back to where the command listens, without the relay's doing."""
        asked = parse_qs(urlsplit(self.url).query)
        parameters = "&".join(f"{name}={value}" for name, value in {"state": asked["state"][0], **query}.items())
        try:
            urlopen(f"{asked['redirect_uri'][0]}?{parameters}", timeout=10).close()
        except HTTPError as refusal:
            refusal.close()

    def ended(self) -> tuple[int, str, str]:
        out, said = self._process.communicate(timeout=30)
        return self._process.returncode, out, said


@pytest.fixture(scope="module")
def relay_url(module_bench: Bench) -> str:
    return module_bench.relay().url


def test_signing_in_prints_the_url_alone_on_its_line_and_keeps_the_tokens(
    machine: MachineProcess, relay_url: str
) -> None:
    login = Login(machine, relay_url)
    assert login.url.startswith(f"http://{urlsplit(relay_url).netloc}/oauth/authorize?")
    assert login.url.split() == [login.url]
    urlopen(f"{login.url}&login_hint=ada", timeout=10).close()
    code, rest, said = login.ended()

    assert (code, rest) == (DONE, "")
    assert f"Signed in as ada at {relay_url}." in said
    assert "pocketcoder start" in said
    assert machine.auth()["login"] == "ada"
    assert (machine.home / "auth.json").stat().st_mode & 0o777 == 0o600
    assert machine.auth()["access_token"] not in said
    assert machine.start()
    status = machine.wait_until_connected()
    assert status["user"]["login"] == "ada"
    page = machine.command("status")
    assert told(page, DONE) == ""
    assert f"{relay_url}, connected" in page.stdout


def test_a_code_that_the_relay_does_not_know_fails(machine: MachineProcess, relay_url: str) -> None:
    login = Login(machine, relay_url)
    login.come_back(code="s3cret-code")
    code, _, said = login.ended()

    assert code == FAILED
    assert "The relay did not accept the sign-in. Run pocketcoder login again." in said
    assert "s3cret" not in said
    assert "Traceback" not in said


def test_a_sign_in_that_the_relay_refuses_fails(machine: MachineProcess, relay_url: str) -> None:
    login = Login(machine, relay_url)
    login.come_back(error="access_denied")
    code, _, said = login.ended()

    assert code == FAILED
    assert "The relay did not let you in: " in said


def test_signing_in_at_a_relay_that_does_not_answer_fails(machine: MachineProcess) -> None:
    relay_url = f"ws://127.0.0.1:{free_port()}"
    login = Login(machine, relay_url)
    login.come_back(code="code")
    code, _, said = login.ended()

    assert code == FAILED
    assert "Is the relay running?" in said
    assert relay_url in said


def test_an_unencrypted_relay_beyond_this_machine_is_refused(machine: MachineProcess) -> None:
    assert "wss://" in told(machine.command("login", "--relay", "ws://relay.example"), FAILED)
