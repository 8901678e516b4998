"""What a soak works with: a relay, a daemon behind a bad network, a project to write in, and one to watch."""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from host.control_plane.client import ControlClient, ControlError
from host.core.home import find_paths
from tests.support.fault_proxy import FaultProxy, fault_proxy
from tests.support.processes import Bench, MachineProcess, RelayProcess

USER: Final = "ada"
# So long the daemon has to come back by itself; then it is told to, as by ``pocketcoder start``.
_PATIENCE_S: Final = 2.0
_LOOK_INTERVAL_S: Final = 0.5


@dataclass
class Project:
    root: Path
    project_id: str


@dataclass
class World:
    """``away``: when the daemon could not answer, from and to, by the monotonic clock."""

    relay: RelayProcess
    machine: MachineProcess
    proxy: FaultProxy
    written: Project
    watched: Project
    daemon_kills: int = 0
    is_over: bool = False
    away: list[tuple[float, float]] = field(default_factory=list)

    @classmethod
    @asynccontextmanager
    async def open(cls, bench: Bench) -> "AsyncIterator[World]":
        """All of it connected. Phones go to the relay itself, the daemon through the proxy."""
        relay = await asyncio.to_thread(bench.relay)
        async with fault_proxy(relay.port) as proxy:
            machine = bench.machine()
            await asyncio.to_thread(machine.login, proxy.url, USER)
            written = await asyncio.to_thread(_project, bench, machine, "written")
            watched = await asyncio.to_thread(_project, bench, machine, "watched")
            await asyncio.to_thread(machine.start)
            await asyncio.to_thread(machine.wait_until_connected)
            yield cls(relay, machine, proxy, written, watched)

    def control(self) -> ControlClient:
        return ControlClient(find_paths({"POCKETCODER_HOME": str(self.machine.home)}), self.machine.control_port)

    @contextmanager
    def daemon_is_away(self) -> Iterator[None]:
        began_s = time.monotonic()
        try:
            yield
        finally:
            self.away.append((began_s, time.monotonic()))

    async def keep_connected(self) -> None:
        """After many faults it would wait for up to a minute, in which there was nothing to see. Until it is over."""
        lost_s: float | None = None
        while not self.is_over:
            await asyncio.sleep(_LOOK_INTERVAL_S)
            if await asyncio.to_thread(self._is_connected):
                lost_s = None
            elif lost_s is None:
                lost_s = time.monotonic()
            elif time.monotonic() - lost_s > _PATIENCE_S:
                await asyncio.to_thread(self._ask, "POST", "/re-register")
                lost_s = None

    def _is_connected(self) -> bool:
        status = self._ask("GET", "/status")
        return bool(status and json.loads(status)["relay"]["connected"])

    def _ask(self, method: str, path: str) -> bytes:
        """Nothing while the daemon does not answer."""
        try:
            return self.control().request(method, path).body
        except ControlError:
            return b""


def _project(bench: Bench, machine: MachineProcess, name: str) -> Project:
    root = bench.directory / name
    root.mkdir()
    return Project(root, machine.add(root))
