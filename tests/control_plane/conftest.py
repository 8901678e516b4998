from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from host.control_plane.server import ControlServer, serve
from host.core.home import HostPaths, prepare_home
from tests.control_plane.daemon_double import RecordingDaemon


@pytest.fixture
def daemon() -> RecordingDaemon:
    return RecordingDaemon()


@pytest.fixture
def paths(tmp_path: Path) -> HostPaths:
    paths = HostPaths(tmp_path / "home")
    prepare_home(paths)
    return paths


@pytest.fixture
async def server(daemon: RecordingDaemon, paths: HostPaths) -> AsyncIterator[ControlServer]:
    async with serve(daemon, paths.control_token, 0) as server:
        yield server
