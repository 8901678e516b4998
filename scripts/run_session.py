"""A relay and a daemon for trying things out: started together, kept up, stopped together.

Both are processes of their own, so that either can be killed; what ends is started again.
All state is in the checkout's ``.dev/``.
"""

import argparse
import ctypes
import fcntl
import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parent.parent
STATE = CHECKOUT / ".dev"
BIN = Path(sys.executable).parent
LOGIN = "dev"
READY_TIMEOUT_S = 30.0
STOP_TIMEOUT_S = 40.0
LOOK_INTERVAL_S = 0.1
RESTART_WAIT_S = 0.5
PR_SET_PDEATHSIG = 1


class CannotRun(Exception):
    """The message says why, and what to do."""


class Stopped(Exception):
    """Somebody wants this to end."""


@dataclass
class Session:
    project: Path
    relay_port: int
    control_port: int

    @property
    def relay_url(self) -> str:
        return f"ws://127.0.0.1:{self.relay_port}"

    @property
    def environment(self) -> dict[str, str]:
        ours = ("POCKETCODER_", "GATEWAY_URL", "LOG_LEVEL")
        inherited = {name: value for name, value in os.environ.items() if not name.startswith(ours)}
        return {
            **inherited,
            "POCKETCODER_HOME": str(STATE / "home"),
            "POCKETCODER_CONTROL_PORT": str(self.control_port),
        }

    def pocketcoder(self, *arguments: str) -> str:
        """Run a command of the CLI to its end and return what it printed. Raises CannotRun."""
        done = subprocess.run(
            [BIN / "pocketcoder", *arguments], env=self.environment, capture_output=True, text=True, check=False
        )
        if done.returncode not in (0, 4):
            raise CannotRun(f"pocketcoder {' '.join(arguments)} failed: {done.stderr.strip() or done.stdout.strip()}")
        return done.stdout

    def start_relay(self) -> subprocess.Popen[bytes]:
        options = ["--identity", "dev", "--port", str(self.relay_port), "--data-dir", str(STATE / "relay")]
        return self._spawn([str(BIN / "pocketcoder-relay"), "serve", *options], STATE / "relay.log")

    def start_daemon(self) -> subprocess.Popen[bytes]:
        return self._spawn([str(BIN / "pocketcoder"), "start", "--foreground"], STATE / "daemon.log")

    def _spawn(self, command: list[str], log_file: Path) -> subprocess.Popen[bytes]:
        with log_file.open("wb") as log:
            return subprocess.Popen(
                command,
                env=self.environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                # Ctrl-C is for this process alone, which then stops the others in order.
                start_new_session=True,
                preexec_fn=_end_with_parent,  # noqa: PLW1509 - this process has one thread
            )

    def relay_answers(self) -> bool:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.relay_port}/health", timeout=1) as answer:
                return bool(json.load(answer)["status"] == "ok")
        except (OSError, ValueError):
            return False

    def is_connected(self) -> bool:
        try:
            return bool(json.loads(self.pocketcoder("status", "--json"))["relay"]["connected"])
        except CannotRun:
            return False

    def sign_in(self) -> None:
        """Be the browser: open the URL that ``login`` prints, and follow the relay back to it."""
        command = [str(BIN / "pocketcoder"), "login", "--relay", self.relay_url, "--no-browser"]
        with subprocess.Popen(
            command,
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            preexec_fn=_end_with_parent,  # noqa: PLW1509 - as above
        ) as login:
            errors = _follow(login)
        if login.returncode != 0:
            raise CannotRun(f"Signing in failed: {errors.strip()}")

    def register_project(self) -> None:
        """This session serves one project; those of earlier sessions go."""
        for known in json.loads(self.pocketcoder("projects", "--json"))["projects"]:
            if known["path"] != str(self.project):
                self.pocketcoder("remove", known["projectId"])
        self.pocketcoder("add", str(self.project))


def main() -> int:
    try:
        session = _parse_arguments()
        STATE.mkdir(mode=0o700, exist_ok=True)
        with (STATE / "run.lock").open("a") as lock:
            _take(lock.fileno())
            for port, option in ((session.relay_port, "--relay-port"), (session.control_port, "--control-port")):
                _require_free(port, option)
            for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
                signal.signal(number, _stop)
            _run(session)
    except CannotRun as exc:
        print(exc, file=sys.stderr)
        return 1
    return 0


def _follow(login: "subprocess.Popen[str]") -> str:
    """Be its browser; return what it said on stderr. It never outlives this: it would wait for minutes."""
    assert login.stdout is not None
    try:
        url = login.stdout.readline().strip()
        if url:
            urllib.request.urlopen(f"{url}&login_hint={LOGIN}", timeout=10).close()
        return login.communicate(timeout=30)[1]
    except (OSError, subprocess.TimeoutExpired) as exc:
        raise CannotRun(f"Signing in failed: the relay gave no answer. Its log: {STATE / 'relay.log'}") from exc
    finally:
        login.kill()


def _run(session: Session) -> None:
    children: dict[str, subprocess.Popen[bytes]] = {}
    try:
        session.register_project()
        children["relay"] = session.start_relay()
        _wait_until(session.relay_answers, "The relay", STATE / "relay.log")
        session.sign_in()
        children["daemon"] = session.start_daemon()
        _wait_until(session.is_connected, "The daemon", STATE / "daemon.log")
        _explain(session)
        _keep_up(children, {"relay": session.start_relay, "daemon": session.start_daemon})
    except Stopped:
        _say("\nStopping …")
    finally:
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, signal.SIG_IGN)
        # The daemon first, so that it can say goodbye to the relay.
        for name in ("daemon", "relay"):
            if name in children:
                _end(children[name])
        _say("Stopped.")


def _keep_up(
    children: dict[str, subprocess.Popen[bytes]], starters: dict[str, Callable[[], subprocess.Popen[bytes]]]
) -> None:
    while True:
        time.sleep(LOOK_INTERVAL_S)
        for name, child in children.items():
            if child.poll() is not None:
                _say(f"The {name} ended ({_how(child.returncode)}). Starting it again.")
                time.sleep(RESTART_WAIT_S)
                children[name] = starters[name]()


def _how(returncode: int) -> str:
    return signal.Signals(-returncode).name if returncode < 0 else f"exit code {returncode}"


def _end(child: subprocess.Popen[bytes]) -> None:
    child.terminate()
    try:
        child.wait(STOP_TIMEOUT_S)
    except subprocess.TimeoutExpired:
        child.kill()
        child.wait()


def _explain(session: Session) -> None:
    relay = BIN / "pocketcoder-relay"
    options = "" if session.relay_port == 8787 else f" --relay {session.relay_url}"
    _say(
        f"""PocketCoder runs: a relay at {session.relay_url} and a daemon, signed in as {LOGIN}.
Project: {session.project}

Be the phone, in another terminal:
  {relay} call fs_list '{{"path":""}}'{options}
  {relay} call fs_write '{{"path":"hello.txt","content":"Hello"}}'{options}
  {relay} call fs_read '{{"path":"hello.txt"}}'{options}
What changes, as it changes:
  {relay} watch{options}
The daemon's state:
  POCKETCODER_HOME={STATE / "home"} POCKETCODER_CONTROL_PORT={session.control_port} \
{BIN / "pocketcoder"} status
Logs are in {STATE}. Stop everything with Ctrl-C."""
    )


def _say(text: str) -> None:
    try:
        print(text, flush=True)
    except OSError:
        # Nobody reads any more: the terminal is closed, or the pipe. That ends nothing by itself.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _parse_arguments() -> Session:
    parser = argparse.ArgumentParser(prog="./scripts/run", description="A relay and a daemon for trying things out.")
    parser.add_argument("project", nargs="?", default=str(CHECKOUT), help="a directory (default: this checkout)")
    parser.add_argument("--relay-port", type=_port, default=8787, help="default: %(default)s")
    parser.add_argument("--control-port", type=_port, default=17433, help="default: %(default)s")
    parser.add_argument("--from", dest="calling_directory", default=".", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    project = Path(arguments.calling_directory, arguments.project).expanduser().resolve()
    if not project.is_dir():
        raise CannotRun(f"{project} is not a directory. Name the directory of a project: ./scripts/run PROJECT")
    if arguments.relay_port == arguments.control_port:
        raise CannotRun("The relay and the daemon need a port each. Choose two: --relay-port N --control-port M")
    return Session(project, arguments.relay_port, arguments.control_port)


def _port(text: str) -> int:
    number = int(text)
    if not 1 <= number <= 65535:
        raise argparse.ArgumentTypeError(f"{text} is not a port. Choose a number from 1 to 65535.")
    return number


def _take(descriptor: int) -> None:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as exc:
        raise CannotRun(
            "./scripts/run is already running in this checkout. Stop it with Ctrl-C where it runs."
        ) from exc


def _require_free(port: int, option: str) -> None:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError as exc:
            raise CannotRun(f"Port {port} is taken by another program. Choose another one: {option} N") from exc


def _wait_until(is_so: Callable[[], bool], what: str, log_file: Path) -> None:
    deadline_s = time.monotonic() + READY_TIMEOUT_S
    while not is_so():
        if time.monotonic() > deadline_s:
            raise CannotRun(f"{what} did not get ready within {READY_TIMEOUT_S:g} s. Its log says why: {log_file}")
        time.sleep(LOOK_INTERVAL_S)


def _end_with_parent() -> None:
    """Should this process be killed, the kernel ends its children (prctl(2); Linux only)."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)


def _stop(_number: int, _frame: object) -> None:
    raise Stopped


if __name__ == "__main__":
    sys.exit(main())
