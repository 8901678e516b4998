"""Real remotes for tests: bare repositories, on the disk, over HTTP with a password, or behind git's daemon."""

import base64
import os
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Final

from tests.support.processes import free_port

USER: Final = "ada"
PASSWORD: Final = "s3cret-of-ada"
_TIMEOUT_S: Final = 30.0
_LOOK_INTERVAL_S: Final = 0.05
# What the tests themselves do starts no further process to look whether there is anything to tidy up.
_NOT_TIDIED_UP: Final = {"GIT_CONFIG_COUNT": "1", "GIT_CONFIG_KEY_0": "maintenance.auto", "GIT_CONFIG_VALUE_0": "false"}


def git_environment(home: Path) -> dict[str, str]:
    """What a user's git sees who has nothing but this HOME."""
    return {"PATH": os.environ["PATH"], "HOME": str(home), "LC_ALL": "C.UTF-8"}


def user_home(directory: Path) -> Path:
    """A new HOME with a git configuration as somebody has who uses git."""
    home = directory / "home"
    home.mkdir()
    (home / ".gitconfig").write_text(
        "[user]\n\tname = Ada\n\temail = ada@example.com\n[init]\n\tdefaultBranch = main\n[core]\n\tfsync = none\n"
    )
    return home


@dataclass(frozen=True)
class Checkout:
    """A working tree, and the user's own git in it: nothing of ours."""

    path: Path
    home: Path

    @classmethod
    def init(cls, path: Path, home: Path) -> "Checkout":
        path.mkdir(parents=True)
        checkout = cls(path, home)
        checkout.git("init", "-q")
        return checkout

    def git(self, *arguments: str) -> str:
        """What git prints, without the newline at its end. Raises AssertionError if it fails."""
        done = self.attempt(*arguments)
        assert done.returncode == 0, f"git {' '.join(arguments)}: {done.returncode} {done.stdout}{done.stderr}"
        return done.stdout.removesuffix("\n")

    def attempt(self, *arguments: str) -> "subprocess.CompletedProcess[str]":
        return subprocess.run(
            ["git", *arguments],
            cwd=self.path,
            env=git_environment(self.home) | _NOT_TIDIED_UP,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="surrogateescape",
            timeout=_TIMEOUT_S,
            check=False,
        )

    def write(self, name: str, content: str = "") -> Path:
        file = self.path / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(content)
        return file

    def commit(self, name: str, content: str = "", *, message: str = "A change") -> str:
        """Commit one file with this content; return the commit's id."""
        self.write(name, content)
        self.git("add", "--", name)
        self.git("commit", "-q", "-m", message)
        return self.git("rev-parse", "HEAD")

    def hook(self, name: str, script: str) -> None:
        """Make a hook of a shell script."""
        hook = Path(self.git("rev-parse", "--absolute-git-dir")) / "hooks" / name
        hook.parent.mkdir(exist_ok=True)
        hook.write_text(f"#!/bin/sh\n{script}\n")
        hook.chmod(0o755)

    def status(self) -> list[str]:
        """The lines of ``git status --short``."""
        return self.git("status", "--short", "--untracked-files=all").splitlines()

    def branch(self) -> str:
        return self.git("symbolic-ref", "--short", "HEAD")


def bare_remote(path: Path, home: Path) -> Checkout:
    """An empty bare repository."""
    path.mkdir(parents=True)
    remote = Checkout(path, home)
    remote.git("init", "-q", "--bare")
    return remote


def clone(remote: Checkout, path: Path) -> Checkout:
    remote.git("clone", "-q", str(remote.path), str(path))
    return Checkout(path, remote.home)


class _Handler(BaseHTTPRequestHandler):
    """Git's own CGI program, behind a password."""

    server: "_Server"

    def do_GET(self) -> None:
        self._serve()

    def do_POST(self) -> None:
        self._serve()

    def log_message(self, *_: object) -> None:
        """Tests are quiet."""

    def _serve(self) -> None:
        length = int(self.headers.get("Content-Length", 0))
        body = self.rfile.read(length)
        if self.headers.get("Authorization") != self.server.authorization:
            self.send_response(HTTPStatus.UNAUTHORIZED)
            self.send_header("WWW-Authenticate", 'Basic realm="tests"')
            self.end_headers()
            return
        answer = self._run_backend(body)
        head, _, content = answer.partition(b"\r\n\r\n")
        headers = dict(line.split(": ", 1) for line in head.decode().split("\r\n"))
        self.send_response(int(headers.pop("Status", "200 OK").split()[0]))
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(content)

    def _run_backend(self, body: bytes) -> bytes:
        path, _, query = self.path.partition("?")
        variables = {
            "GIT_PROJECT_ROOT": str(self.server.directory),
            "GIT_HTTP_EXPORT_ALL": "1",
            "GIT_PROTOCOL": self.headers.get("Git-Protocol", ""),
            "REQUEST_METHOD": self.command,
            "PATH_INFO": path,
            "QUERY_STRING": query,
            "CONTENT_TYPE": self.headers.get("Content-Type", ""),
            "CONTENT_LENGTH": str(len(body)),
            "HTTP_CONTENT_ENCODING": self.headers.get("Content-Encoding", ""),
            "REMOTE_USER": USER,
            "REMOTE_ADDR": "127.0.0.1",
        }
        environment = {**git_environment(self.server.directory), **variables}
        command = ["git", "http-backend"]
        return subprocess.run(
            command, input=body, env=environment, capture_output=True, timeout=_TIMEOUT_S, check=True
        ).stdout


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, directory: Path) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.directory = directory
        self.authorization = "Basic " + base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()


@contextmanager
def http_remotes(directory: Path) -> Iterator[str]:
    """Serves the bare repositories in ``directory`` to USER with PASSWORD; the value is the URL above them."""
    with _Server(directory) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": _LOOK_INTERVAL_S})
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}"
        finally:
            server.shutdown()
            thread.join()


@contextmanager
def git_daemon(directory: Path) -> Iterator[str]:
    """Serves the bare repositories in ``directory`` to everybody by ``git daemon``; the value is the URL above them."""
    port = free_port()
    options = ["--export-all", "--enable=receive-pack", "--reuseaddr", "--listen=127.0.0.1", f"--port={port}"]
    # Not `git daemon`: that would be a process between us and it.
    program = Path(subprocess.check_output(["git", "--exec-path"], text=True).strip()) / "git-daemon"
    with subprocess.Popen(
        [program, *options, f"--base-path={directory}"], env=git_environment(directory), stderr=subprocess.DEVNULL
    ) as daemon:
        try:
            _wait_until_it_listens(port)
            yield f"git://127.0.0.1:{port}"
        finally:
            daemon.terminate()


def _wait_until_it_listens(port: int) -> None:

    deadline_s = time.monotonic() + _TIMEOUT_S
    while time.monotonic() < deadline_s:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError:
            time.sleep(_LOOK_INTERVAL_S)
        else:
            return
    raise AssertionError("git daemon does not listen.")
