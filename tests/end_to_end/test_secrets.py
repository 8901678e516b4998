"""What must stay secret is in none of the places that others read, over everything that signing in does."""

import asyncio
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import psutil  # type: ignore[import-untyped]
import pytest

from relay_stub.client import RelayClient
from tests.end_to_end.browser import Person, login_by_device, phone_of
from tests.relay.oauth.scripted_github import Account, ScriptedGitHub
from tests.support.processes import Bench, MachineProcess, RelayProcess, eventually, processes_below
from tests.support.wiretap import Wiretap

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]


@dataclass
class Seen:
    """What others could read, by where."""

    directory: Path
    places: dict[str, str] = field(default_factory=dict)

    def note(self, place: str, text: str) -> None:
        self.places[place] = self.places.get(place, "") + text

    def note_files(self, *files: Path) -> None:
        for file in files:
            # Journals come and go.
            with suppress(FileNotFoundError):
                self.note(f"{file.parent.name}/{file.name}", file.read_bytes().decode("latin-1"))

    def note_what_there_is(self, relay: RelayProcess, machine: MachineProcess) -> None:
        self.note_files(relay.directory / "output.txt", *(machine.home / "logs").iterdir())
        self.note_files(*relay.data_directory.glob("relay.db*"), *machine.home.glob("daemon.db*"))
        self.note("status", json.dumps(machine.status()) + machine.command("status").stdout)

    @contextmanager
    def watching_processes(self) -> Iterator[None]:
        """Look at every command line, and at what processes inherit, until the end of the block."""
        is_over = threading.Event()

        def watch() -> None:
            while not is_over.wait(0.05):
                for pid, arguments in processes_below(self.directory).items():
                    self.places[f"arguments of {pid} {arguments}"] = " ".join(arguments)
                    with suppress(psutil.Error):
                        self.places[f"variables of {pid}"] = str(psutil.Process(pid).environ())

        watcher = threading.Thread(target=watch)
        watcher.start()
        try:
            yield
        finally:
            is_over.set()
            watcher.join()


@dataclass
class Run:
    """One machine's life at one relay, whose every word is kept."""

    bench: Bench
    seen: Seen
    relay: RelayProcess
    tap: Wiretap
    machine: MachineProcess
    project_id: str
    secrets: dict[str, set[str]] = field(default_factory=dict)

    def work(self) -> None:
        """Let the daemon, signed in just now, connect and renew its tokens."""
        self.machine.start()
        self.machine.wait_until_connected()
        first = self.machine.auth()["refresh_token"]
        eventually(lambda: self.machine.auth()["refresh_token"] != first, what="A renewal")
        self.keep("control token", (self.machine.home / "control.token").read_text().strip())
        self.seen.note_what_there_is(self.relay, self.machine)

    async def be_phoned(self, phone: RelayClient) -> None:
        run_id = f"run-{len(self.seen.places)}"
        answer = await phone.request("command_exec", {"command": "env"}, session_id=self.project_id, request_id=run_id)
        assert answer["exitCode"] == 0
        log = await phone.request("events_read", {"stream": f"command:{run_id}"}, session_id=self.project_id)
        self.seen.note("a command", json.dumps(log))

    def keep(self, kind: str, *secrets: str) -> None:
        self.secrets.setdefault(kind, set()).update(secrets)

    def keep_what_was_said(self) -> None:
        for kind, member in (
            ("access token", "accessToken"),
            ("refresh token", "refreshToken"),
            ("device code", "deviceCode"),
        ):
            self.keep(kind, *self.tap.members(member))
        self.keep("authorization code", *self.tap.authorization_codes())


async def with_passcode(run: Run) -> None:
    """The machine by its code, the phone in a browser; both with the passcode."""
    passcode = run.relay.administer("passcode", "--reset").strip().rpartition(" ")[2]
    run.keep("passcode", passcode, passcode.replace("-", ""))
    await asyncio.to_thread(run.relay.start)
    owner = Person({"passcode": passcode})
    code, said = await asyncio.to_thread(login_by_device, run.machine, run.tap.url, owner.decide)
    assert code == 0, said
    run.seen.note("login", said)
    await asyncio.to_thread(run.work)
    async with phone_of(owner, run.tap.url) as phone, asyncio.timeout(30):
        await run.be_phoned(phone)
    run.seen.note("logout", await asyncio.to_thread(run.machine.succeed, "logout"))
    run.seen.note("audit", run.relay.administer("audit") + run.relay.administer("sessions"))
    run.seen.note_what_there_is(run.relay, run.machine)
    run.relay.stop()


async def with_github(run: Run, github: ScriptedGitHub) -> None:
    """Both in a browser at GitHub."""
    secret = run.bench.directory / "github-secret"
    secret.write_text(github.client_secret)
    github.callback_uri = f"http://127.0.0.1:{run.tap.port}/oauth/callback"
    run.relay.options = (
        *("--identity", "github", "--github-client-id", github.client_id, "--github-login", "octocat"),
        *("--github-secret-file", str(secret), "--github-url", github.url, "--github-api-url", github.url),
        *("--access-lifetime-s", "2"),
    )
    await asyncio.to_thread(run.relay.start)
    run.seen.note("login", await asyncio.to_thread(run.machine.login, run.tap.url, "octocat", Person().sign_in))
    await asyncio.to_thread(run.work)
    async with phone_of(Person(), run.tap.url) as phone, asyncio.timeout(30):
        await run.be_phoned(phone)
    run.keep("secret of the app at GitHub", github.client_secret)
    run.keep("token of GitHub's", *github.tokens)
    run.seen.note_what_there_is(run.relay, run.machine)


async def test_no_secret_is_in_arguments_logs_status_databases_or_a_commands_environment(bench: Bench) -> None:
    relay = bench.unstarted_relay("--identity", "passcode", "--access-lifetime-s", "2")
    machine, seen = bench.machine(LOG_LEVEL="debug"), Seen(bench.directory)
    async with (
        ScriptedGitHub(at_browser=Account(1, "octocat")).running() as github,
        Wiretap(relay.port).listening() as tap,
    ):
        run = Run(bench, seen, relay, tap, machine, machine.add(bench.project()))
        with seen.watching_processes():
            await with_passcode(run)
            await with_github(run, github)
            await asyncio.to_thread(bench.stop)
        run.keep_what_was_said()
    seen.note_files(relay.directory / "output.txt", *(machine.home / "logs").iterdir())
    seen.note_files(*relay.data_directory.glob("relay.db*"), *machine.home.glob("daemon.db*"))

    assert {kind: len(secrets) >= 1 for kind, secrets in run.secrets.items()} == dict.fromkeys(
        (
            "passcode", "control token", "secret of the app at GitHub", "token of GitHub's",
            "access token", "refresh token", "device code", "authorization code",
        ),
        True,
    )  # fmt: skip
    assert min(len(run.secrets["access token"]), len(run.secrets["refresh token"])) >= 6
    assert_looked(seen)
    found = [
        f"A {kind} is in {place}."
        for kind, secrets in run.secrets.items()
        for place, text in seen.places.items()
        if any(secret in text for secret in secrets)
    ]
    assert found == []


def assert_looked(seen: Seen) -> None:
    """Where nothing was looked at, nothing is found."""
    assert "octocat" in seen.places["data/relay.db"] + seen.places.get("data/relay.db-wal", "")
    assert "run-" in seen.places["pocketcoder/daemon.db"] + seen.places.get("pocketcoder/daemon.db-wal", "")
    assert "access token was renewed" in seen.places["logs/daemon.log"]
    assert "Relay listening" in seen.places["relay-0/output.txt"]
    assert "octocat" in seen.places["status"]
    assert "PATH=" in seen.places["a command"]
    arguments = " ".join(text for place, text in seen.places.items() if place.startswith("arguments"))
    for program in ("pocketcoder login", "pocketcoder-relay serve", "host.cli.background"):
        assert program in arguments, program
