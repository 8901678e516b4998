"""A relay and a daemon as users run them, with state of their own that is gone afterwards."""

import json
import os
import socket
import subprocess
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from host.control_plane.client import ControlClient, ControlError
from host.core.home import find_paths
from scripts.benchmarks.processes import BIN, BenchmarkFailed, Command, next_line, running

LOGIN = "bench"
_READY_TIMEOUT_S = 20.0
_LOOK_INTERVAL_S = 0.05


@dataclass(frozen=True)
class Sandbox:
    """``projects`` maps the ids of the registered projects to their directories, which begin empty."""

    directory: Path
    relay_url: str
    relay_process_id: int
    daemon_process_id: int
    environment: dict[str, str]
    projects: dict[str, Path]

    @property
    def project(self) -> tuple[str, Path]:
        return next(iter(self.projects.items()))


@contextmanager
def sandbox(*, projects: int) -> Iterator[Sandbox]:
    """A signed-in, connected daemon with so many projects. Raises BenchmarkFailed."""
    with ExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="pocketcoder-bench-")))
        control_port = _free_port()
        environment = {
            **os.environ,
            "POCKETCODER_HOME": str(directory / "home"),
            "POCKETCODER_CONTROL_PORT": str(control_port),
            "LOG_LEVEL": "error",
        }
        serve: Command = [BIN / "pocketcoder-relay", "serve", "--port", "0", "--data-dir", directory / "relay"]
        relay = stack.enter_context(running(serve))
        relay_url = next_line(relay).split()[-1].replace("http://", "ws://")
        start: Command = [BIN / "pocketcoder", "start", "--foreground"]
        daemon = stack.enter_context(running(start, environment=environment))
        control = ControlClient(find_paths(environment), control_port)
        _wait_until(lambda: _status(control) is not None, "The daemon did not start.")
        # Before signing in, so that the first registration names them all.
        roots = dict(_add_project(control, directory / f"project-{number}") for number in range(projects))
        _sign_in(relay_url, environment)
        _wait_until(lambda: _is_connected(control), "The daemon did not connect.")
        yield Sandbox(directory, relay_url, relay.pid, daemon.pid, environment, roots)


def _sign_in(relay_url: str, environment: dict[str, str]) -> None:
    """Be the browser: open the URL that ``login`` prints, and follow the relay back to it."""
    command: Command = [BIN / "pocketcoder", "login", "--relay", relay_url, "--no-browser"]
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as login:
        assert login.stdout is not None
        url = login.stdout.readline().strip()
        if url:
            urllib.request.urlopen(f"{url}&login_hint={LOGIN}", timeout=_READY_TIMEOUT_S).close()
        _, errors = login.communicate(timeout=_READY_TIMEOUT_S)
    if login.returncode != 0:
        raise BenchmarkFailed(f"Signing in failed: {errors.strip()}")


def _add_project(control: ControlClient, directory: Path) -> tuple[str, Path]:
    directory.mkdir()
    answer = control.request("POST", "/projects", {"path": str(directory)})
    return json.loads(answer.body)["projectId"], directory


def _is_connected(control: ControlClient) -> bool:
    status = _status(control)
    return status is not None and status["relay"]["connected"]


def _status(control: ControlClient) -> Any:
    """What ``/status`` answers; None while nobody does."""
    try:
        return json.loads(control.request("GET", "/status").body)
    except ControlError:
        return None


def _wait_until(is_so: Callable[[], bool], otherwise: str) -> None:
    deadline_s = time.monotonic() + _READY_TIMEOUT_S
    while not is_so():
        if time.monotonic() > deadline_s:
            raise BenchmarkFailed(otherwise)
        time.sleep(_LOOK_INTERVAL_S)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
