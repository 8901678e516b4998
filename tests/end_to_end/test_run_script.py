"""``./scripts/run``: a relay and a daemon for trying things out, in a checkout of its own."""

import asyncio
import os
import shutil
import signal
import socket
import subprocess
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from relay_stub.client import RelayClient
from tests.support.processes import CHECKOUT, environment, eventually, free_port, no_process_left, processes_below
from tests.support.retrying_phone import RetryingPhone

pytestmark = pytest.mark.slow

END_TIMEOUT_S = 30.0


class RunScript:
    """A checkout that shares this one's programs, and what was run in it."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.checkout = directory / "checkout"
        self.project = directory / "project"
        self.relay_port, self.control_port = free_port(), free_port()
        self.output = directory / "output.txt"
        self._make_checkout()
        self.project.mkdir()
        (self.project / "README.md").write_text("# Read me\n")

    @property
    def relay_url(self) -> str:
        return f"ws://127.0.0.1:{self.relay_port}"

    def run(self, project: str | None = None) -> "subprocess.Popen[bytes]":
        """Start the script as a shell would: as the leader of the group that Ctrl-C goes to."""
        ports = ["--relay-port", str(self.relay_port), "--control-port", str(self.control_port)]
        with self.output.open("wb") as output:
            return subprocess.Popen(
                [self.checkout / "scripts" / "run", project or str(self.project), *ports],
                env=environment(self.directory),
                cwd=self.directory,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def run_until_ready(self) -> "subprocess.Popen[bytes]":
        process = self.run()
        eventually(lambda: self.has_said("Stop everything with Ctrl-C.") or process.poll() is not None)
        assert process.poll() is None, self.said()
        return process

    def refusal(self, project: str | None = None) -> str:
        """What a run that cannot begin says; it fails without a traceback."""
        process = self.run(project)
        assert process.wait(END_TIMEOUT_S) == 1
        assert "Traceback" not in self.said()
        return self.said()

    def said(self) -> str:
        return self.output.read_text()

    def has_said(self, text: str) -> bool:
        return text in self.said()

    def interrupt(self, process: "subprocess.Popen[bytes]") -> None:
        """Ctrl-C. Nothing may be left."""
        os.killpg(process.pid, signal.SIGINT)
        assert process.wait(END_TIMEOUT_S) == 0, self.said()
        assert self.said().endswith("Stopped.\n")
        assert processes_below(self.directory) == {}
        home = self.checkout / ".dev" / "home"
        assert not (home / "daemon.pid").exists()
        assert not (home / "control.token").exists()

    def kill_child(self, word: str) -> None:
        """``kill -9`` of the one process that has this word on its command line."""
        (pid,) = [pid for pid, words in processes_below(self.directory).items() if word in words]
        os.kill(pid, signal.SIGKILL)

    async def project_id(self) -> str:
        async with RelayClient.sign_in(self.relay_url, "dev") as phone, asyncio.timeout(20):
            (project,) = await phone.projects()
        assert project["path"] == str(self.project)
        return str(project["projectId"])

    def _make_checkout(self) -> None:
        venv = self.checkout / ".venv"
        venv.mkdir(parents=True)
        shutil.copytree(CHECKOUT / "scripts", self.checkout / "scripts")
        shutil.copy(CHECKOUT / "pyproject.toml", self.checkout)
        for part in ("bin", "lib", "pyvenv.cfg"):
            (venv / part).symlink_to(CHECKOUT / ".venv" / part)
        # Says that everything is installed, so that the script does not install it into the shared place.
        stamp = 'printf %s "$(cksum <pyproject.toml) $PWD" >.venv/installed-run'
        subprocess.run(["bash", "-c", stamp], cwd=self.checkout, check=True)


@pytest.fixture
def script(tmp_path: Path) -> Iterator[RunScript]:
    with no_process_left(tmp_path):
        yield RunScript(tmp_path)


async def test_it_serves_the_project_until_ctrl_c(script: RunScript) -> None:
    process = script.run_until_ready()
    assert f"Project: {script.project}" in script.said()
    async with RetryingPhone.open(script.relay_url, "dev", await script.project_id()) as phone, asyncio.timeout(20):
        answer = await phone.ask("fs_write", {"path": "hello.txt", "content": "Hello"})
    assert answer["payload"]["success"] is True
    assert (script.project / "hello.txt").read_text() == "Hello"
    script.interrupt(process)


async def test_what_is_killed_is_started_again_and_serves_on(script: RunScript) -> None:
    process = script.run_until_ready()
    async with RetryingPhone.open(script.relay_url, "dev", await script.project_id()) as phone, asyncio.timeout(50):
        for name, word in (("daemon", "--foreground"), ("relay", "serve")):
            script.kill_child(word)
            eventually(partial(script.has_said, f"The {name} ended (SIGKILL). Starting it again."))
            answer = await phone.ask("fs_read", {"path": "README.md"})
            assert answer["payload"]["content"] == "# Read me\n"
    script.interrupt(process)


def test_a_second_run_in_one_checkout_is_refused_clearly(script: RunScript) -> None:
    process = script.run_until_ready()
    first_output, script.output = script.output, script.directory / "second.txt"
    assert "already running in this checkout" in script.refusal()
    script.output = first_output
    assert process.poll() is None
    script.interrupt(process)


@pytest.mark.parametrize("which", ["relay", "control"])
def test_a_taken_port_is_said_clearly_with_the_way_out(script: RunScript, which: str) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", script.relay_port if which == "relay" else script.control_port))
        taken.listen()
        port = taken.getsockname()[1]
        said = script.refusal()
    assert said == f"Port {port} is taken by another program. Choose another one: --{which}-port N\n"


def test_one_port_for_both_is_said_clearly(script: RunScript) -> None:
    script.control_port = script.relay_port

    assert script.refusal().startswith("The relay and the daemon need a port each.")


def test_a_port_that_cannot_be_is_wrong_use(script: RunScript) -> None:
    for port in (0, 65536):
        script.relay_port = port
        assert script.run().wait(END_TIMEOUT_S) == 2
        assert script.said().endswith(f"{port} is not a port. Choose a number from 1 to 65535.\n")


def test_a_project_that_is_no_directory_is_said_clearly(script: RunScript) -> None:
    assert "is not a directory. Name the directory of a project" in script.refusal("missing")


def test_after_kill_9_of_the_script_itself_nothing_runs_and_it_can_be_run_again(script: RunScript) -> None:
    process = script.run_until_ready()
    process.kill()
    process.wait()
    eventually(lambda: not processes_below(script.directory), what="The end of everything")
    script.interrupt(script.run_until_ready())
