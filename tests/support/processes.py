"""The real programs as processes: relays and machines, each with a directory and ports of its own."""

import json
import os
import random
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final
from urllib.request import urlopen

import psutil  # type: ignore[import-untyped]

CHECKOUT: Final = Path(__file__).resolve().parents[2]
BIN: Final = Path(sys.executable).parent
READY_TIMEOUT_S: Final = 30.0
COMMAND_TIMEOUT_S: Final = 45.0
_LOOK_INTERVAL_S: Final = 0.02
# Below the range from which the system takes ports for outgoing connections.
_PORTS: Final = range(10_000, 32_000)

Status = dict[str, Any]


def eventually(is_so: Callable[[], bool], timeout_s: float = READY_TIMEOUT_S, *, what: str = "It") -> None:
    """Wait until ``is_so()``. Raises AssertionError when it never was within the time."""
    deadline_s = time.monotonic() + timeout_s
    while not is_so():
        assert time.monotonic() < deadline_s, f"{what} did not come about within {timeout_s:g} s."
        time.sleep(_LOOK_INTERVAL_S)


def free_port() -> int:
    """A port of 127.0.0.1 that nothing uses, and that no outgoing connection will take."""
    while True:
        port = random.choice(_PORTS)
        with socket.socket() as probe, suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port


def environment(home: Path, **variables: str) -> dict[str, str]:
    """What our programs see: nothing of this user's but the way to programs. HOME says whose process it is."""
    return {"PATH": os.environ["PATH"], "LANG": "C.UTF-8", "HOME": str(home), **variables}


def processes_below(directory: Path) -> dict[int, list[str]]:
    """The command lines, by process id, of the live processes that were started with a HOME in this directory."""
    found = {}
    for process in psutil.process_iter():
        with suppress(psutil.Error):
            home = Path(process.environ().get("HOME", "/"))
            if home.is_relative_to(directory) and is_alive(process.pid):
                found[process.pid] = process.cmdline()
    return found


def is_alive(pid: int) -> bool:
    """Whether the process runs; one that ended and was not yet waited for does not."""
    with suppress(psutil.Error):
        return bool(psutil.Process(pid).status() != psutil.STATUS_ZOMBIE)
    return False


def resident_bytes(pid: int) -> int:
    """How much memory the process holds."""
    return int(psutil.Process(pid).memory_info().rss)


@contextmanager
def no_process_left(directory: Path) -> Iterator[None]:
    """Raises AssertionError if processes of ours outlive the block; they are ended then."""
    try:
        yield
    finally:
        left = processes_below(directory)
        for pid in left:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
    assert not left, f"Processes were left: {left}"


@dataclass
class RelayProcess:
    """``pocketcoder-relay serve``. The same port and data directory whenever it is started again."""

    directory: Path
    options: tuple[str, ...] = ()
    port: int = 0
    process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        scheme = "wss" if "--tls-cert" in self.options else "ws"
        return f"{scheme}://127.0.0.1:{self.port}"

    @property
    def data_directory(self) -> Path:
        return self.directory / "data"

    def start(self) -> None:
        """Start and wait until it listens."""
        self.directory.mkdir(exist_ok=True)
        output = self.directory / "output.txt"
        places = ["--port", str(self.port), "--data-dir", str(self.data_directory)]
        with output.open("wb") as file:
            process = self.process = subprocess.Popen(
                [BIN / "pocketcoder-relay", "serve", *places, *self.options],
                env=environment(self.directory),
                stdout=file,
                stderr=subprocess.STDOUT,
            )
        eventually(
            lambda: b"Relay listening" in output.read_bytes() or process.poll() is not None, what="The relay's start"
        )
        said = re.search(r"Relay listening on https?://[^:]+:(\d+)", output.read_text())
        assert said, output.read_text()
        self.port = int(said[1])

    def administer(self, *arguments: str) -> str:
        """Run another command of ``pocketcoder-relay`` on this relay's data; return what it printed."""
        self.directory.mkdir(exist_ok=True)
        done = subprocess.run(
            [BIN / "pocketcoder-relay", *arguments, "--data-dir", str(self.data_directory)],
            env=environment(self.directory),
            capture_output=True,
            text=True,
            timeout=COMMAND_TIMEOUT_S,
            check=False,
        )
        assert done.returncode == 0, f"pocketcoder-relay {' '.join(arguments)}: {done.stdout}{done.stderr}"
        return done.stdout

    def kill(self) -> None:
        self._end(signal.SIGKILL)

    def stop(self) -> None:
        """End it as Ctrl-C would. Doing it again does nothing."""
        if self.process is not None:
            assert self._end(signal.SIGINT) == 0, (self.directory / "output.txt").read_text()

    def _end(self, number: signal.Signals) -> int:
        assert self.process is not None, "The relay does not run."
        self.process.send_signal(number)
        returncode, self.process = self.process.wait(READY_TIMEOUT_S), None
        return returncode


@dataclass
class MachineProcess:
    """A user's machine: its home, its control port, its command line, and at most one daemon.

    ``variables`` are added to the environment of every command; a ``umask`` of -1 is that of the tests.
    """

    directory: Path
    control_port: int = field(default_factory=free_port)
    variables: dict[str, str] = field(default_factory=dict)
    umask: int = -1
    foreground: subprocess.Popen[bytes] | None = None

    @property
    def home(self) -> Path:
        return self.directory / "pocketcoder"

    @property
    def daemon_pid(self) -> int | None:
        """Of the daemon that runs."""
        with suppress(FileNotFoundError, ValueError):
            pid = int((self.home / "daemon.pid").read_text())
            return pid if is_alive(pid) else None
        return None

    @property
    def log(self) -> str:
        return (self.home / "logs" / "daemon.log").read_text()

    def command(self, *arguments: str) -> "subprocess.CompletedProcess[str]":
        """Run ``pocketcoder`` to its end."""
        return subprocess.run(
            [BIN / "pocketcoder", *arguments],
            env=self._environment(),
            capture_output=True,
            text=True,
            timeout=COMMAND_TIMEOUT_S,
            check=False,
            umask=self.umask,
        )

    def succeed(self, *arguments: str) -> str:
        """Run ``pocketcoder`` and return what it printed. Raises AssertionError when it fails."""
        done = self.command(*arguments)
        assert done.returncode == 0, f"pocketcoder {' '.join(arguments)}: {done.returncode} {done.stdout}{done.stderr}"
        return done.stdout

    def login(self, relay_url: str, name: str = "ada", visit: Callable[[str], None] | None = None) -> str:
        """Sign in as the user would: the command prints a URL, a browser opens it and is sent back.

        ``visit`` is that browser; without it, one that gives this name to a relay that believes it.
        Returns what was said to the user.
        """
        with self.begin("login", "--relay", relay_url, "--no-browser") as login:
            assert login.stdout is not None
            url = login.stdout.readline().strip()
            if url and visit is not None:
                visit(url)
            elif url:
                with urlopen(f"{url}&login_hint={name}", timeout=READY_TIMEOUT_S) as page:
                    assert page.status == 200
            _, said = login.communicate(timeout=COMMAND_TIMEOUT_S)
        assert login.returncode == 0, said
        assert f"Signed in as {name} at {relay_url}." in said
        return said

    def begin(self, *arguments: str, stderr: int = subprocess.PIPE) -> "subprocess.Popen[str]":
        """``pocketcoder``, for who wants to do something while it runs."""
        return subprocess.Popen(
            [BIN / "pocketcoder", *arguments],
            env=self._environment(),
            stdout=subprocess.PIPE,
            stderr=stderr,
            text=True,
            umask=self.umask,
        )

    def start(self) -> int:
        """Start the daemon in the background; return its process id."""
        self.succeed("start")
        pid = self.daemon_pid
        assert pid is not None
        return pid

    def start_in_foreground(self) -> int:
        """Start the daemon as a child of this process, which sees its exit code; return its process id."""
        with (self.directory / "foreground.txt").open("wb") as output:
            self.foreground = subprocess.Popen(
                [BIN / "pocketcoder", "start", "--foreground"],
                env=self._environment(),
                stdout=output,
                stderr=subprocess.STDOUT,
            )
        eventually(lambda: self.command("status").returncode in (0, 4), what="The daemon's start")
        assert self.daemon_pid == self.foreground.pid
        return self.foreground.pid

    def kill(self) -> None:
        """``kill -9`` of the daemon."""
        pid = self.daemon_pid
        assert pid is not None, "The daemon does not run."
        os.kill(pid, signal.SIGKILL)
        eventually(lambda: not is_alive(pid), what="The daemon's end")
        self._reap()

    def stop(self) -> None:
        """``pocketcoder stop``, which leaves nothing. Doing it again does nothing."""
        pid = self.daemon_pid
        if pid is None:
            return
        assert self.succeed("stop") == "PocketCoder stopped.\n"
        self.wait_for_end(pid)

    def wait_for_end(self, pid: int) -> None:
        """Wait until the daemon has ended. Raises AssertionError if it left anything behind."""
        eventually(lambda: not is_alive(pid), what="The daemon's end")
        assert self._reap() in (None, 0)
        assert not (self.home / "daemon.pid").exists()
        assert not (self.home / "control.token").exists()

    def status(self) -> Status:
        """What ``pocketcoder status --json`` prints. Raises AssertionError when no daemon answers."""
        done = self.command("status", "--json")
        assert done.returncode in (0, 4), done.stdout
        status: Status = json.loads(done.stdout)
        return status

    def relay_status(self) -> Status:
        relay: Status = self.status()["relay"]
        return relay

    def wait_until_connected(self) -> Status:
        """Wait until the daemon is registered; return its status."""
        eventually(lambda: bool(self.relay_status()["connected"]), what="The daemon's connection")
        return self.status()

    def wait_for_state(self, state: str) -> Status:
        """Wait until the link is in this state, and there is a reason to show; return the relay's status."""

        def is_there() -> bool:
            relay = self.relay_status()
            return relay["state"] == state and "lastError" in relay

        eventually(is_there, what=f"The state {state}")
        return self.relay_status()

    def add(self, project: Path) -> str:
        """Add a project; return its id."""
        self.succeed("add", str(project))
        known = json.loads(self.succeed("projects", "--json"))["projects"]
        return next(str(each["projectId"]) for each in known if each["path"] == str(project))

    def auth(self) -> dict[str, Any]:
        """What ``auth.json`` holds."""
        content: dict[str, Any] = json.loads((self.home / "auth.json").read_text())
        return content

    def _environment(self) -> dict[str, str]:
        ours = {"POCKETCODER_HOME": str(self.home), "POCKETCODER_CONTROL_PORT": str(self.control_port)}
        return environment(self.directory, **ours, **self.variables)

    def _reap(self) -> int | None:
        """The exit code of a daemon in the foreground."""
        if self.foreground is None:
            return None
        returncode, self.foreground = self.foreground.wait(READY_TIMEOUT_S), None
        return returncode


@dataclass
class Bench:
    """What one test, or one module of them, works with. All of it is stopped in order, and must end well."""

    directory: Path
    _machines: list[MachineProcess] = field(default_factory=list)
    _relays: list[RelayProcess] = field(default_factory=list)

    def relay(self, *options: str, port: int | None = None) -> RelayProcess:
        """Start a relay on a data directory of its own."""
        relay = self.unstarted_relay(*options, port=port)
        relay.start()
        return relay

    def unstarted_relay(self, *options: str, port: int | None = None) -> RelayProcess:
        """A relay on a data directory of its own, for who has to prepare something."""
        directory = self.directory / f"relay-{len(self._relays)}"
        relay = RelayProcess(directory, options, free_port() if port is None else port)
        self._relays.append(relay)
        return relay

    def machine(self, **variables: str) -> MachineProcess:
        """A new machine on which nothing runs yet."""
        machine = MachineProcess(self.directory / f"machine-{len(self._machines)}", variables=variables)
        machine.directory.mkdir()
        self._machines.append(machine)
        return machine

    def project(self, name: str = "project") -> Path:
        """A directory with a little in it."""
        root = self.directory / name
        (root / "src").mkdir(parents=True)
        (root / "src" / "app.py").write_text("print('Grüße')\n")
        (root / "README.md").write_text("# Read me\n")
        return root

    def stop(self) -> None:
        for machine in self._machines:
            machine.stop()
        for relay in self._relays:
            relay.stop()


@contextmanager
def bench_in(directory: Path) -> Iterator[Bench]:
    with no_process_left(directory):
        bench = Bench(directory)
        yield bench
        bench.stop()
