"""An upgrade while the daemon runs: the commands are new, and what answers them is of the version before."""

import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass

import msgspec
import pytest

from host.control_plane.server import serve
from host.core.home import HostPaths, prepare_home
from host.core.instance_lock import InstanceLock
from tests.cli.commands import FAILED, told
from tests.control_plane.daemon_double import RecordingDaemon
from tests.support.processes import Bench, MachineProcess

pytestmark = pytest.mark.slow


class OldStatus(msgspec.Struct):
    """What every version has in common is little."""

    version: str = "0.0.1"


@dataclass
class OldDaemon(RecordingDaemon):
    """Takes a moment to stop."""

    lock: InstanceLock | None = None

    def stop(self, *, force: bool) -> None:
        assert self.lock is not None
        asyncio.get_running_loop().call_later(0.5, self.lock.release)

    async def status(self) -> OldStatus:  # type: ignore[override]
        return OldStatus()

    async def projects(self) -> list[OldStatus]:  # type: ignore[override]
        return [OldStatus()]


@pytest.fixture
async def machine(bench: Bench) -> AsyncIterator[MachineProcess]:
    """One whose daemon, of an older version, is played by this process."""
    machine = bench.machine()
    paths = HostPaths(machine.home)
    prepare_home(paths)
    lock = InstanceLock.acquire(paths.pid_file)
    daemon = OldDaemon(lock=lock)
    async with serve(daemon, paths.control_token, machine.control_port):  # type: ignore[arg-type]
        yield machine
    lock.release()


@pytest.mark.parametrize("arguments", [["status"], ["projects"], ["start"]])
async def test_a_daemon_of_another_version_is_told_with_what_to_do(
    machine: MachineProcess, arguments: list[str]
) -> None:
    said = told(await asyncio.to_thread(machine.command, *arguments), FAILED)
    assert "of another version" in said
    assert "pocketcoder stop && pocketcoder start" in said


async def test_a_daemon_of_another_version_can_be_stopped(machine: MachineProcess) -> None:
    assert await asyncio.to_thread(machine.succeed, "stop") == "PocketCoder stopped.\n"


async def test_programs_and_the_doctor_are_told_of_it_too(machine: MachineProcess) -> None:
    examined = await asyncio.to_thread(machine.command, "doctor", "--json")
    assert "Traceback" not in examined.stderr
    (daemon,) = [each for each in json.loads(examined.stdout)["checks"] if each["check"] == "daemon"]
    assert "is of version 0.0.1, but " in daemon["message"]
    assert daemon["mend"] == "pocketcoder stop && pocketcoder start"
