"""Real directories, watched by each watcher in turn, and a client that believes what it is told."""

import os
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import pytest

from host.watch.inotify_watcher import InotifyWatcher
from host.watch.port import Watcher
from host.watch.project import Timing
from host.watch.watchfiles_watcher import WatchfilesWatcher

WATCHERS: dict[str, Callable[[], Watcher]] = {
    "inotify": lambda: InotifyWatcher(timing=Timing(root_s=0.05)),
    "watchfiles": lambda: WatchfilesWatcher(timing=Timing(gone_s=0.1, poll_s=60.0)),
}


@pytest.fixture(params=["inotify", pytest.param("watchfiles", marks=pytest.mark.slow)])
async def watcher(request: pytest.FixtureRequest) -> AsyncIterator[Watcher]:
    opened = WATCHERS[request.param]()
    yield opened
    await opened.close()


@pytest.fixture
def nothing_is_left() -> Iterator[None]:
    before = _open_descriptors()
    yield
    assert not [thread.name for thread in threading.enumerate() if thread.name.startswith("watching")]
    # The library's own thread ends a little later.
    deadline_s = time.monotonic() + 5
    while _open_descriptors() != before and time.monotonic() < deadline_s:
        time.sleep(0.01)
    assert _open_descriptors() == before


@pytest.fixture
def root(tmp_path: Path) -> Path:
    project = tmp_path / "project"
    project.mkdir()
    return project


def _open_descriptors() -> set[str]:
    # The listing's own descriptor is the one that is closed by now.
    return {name for name in os.listdir("/proc/self/fd") if os.path.lexists(f"/proc/self/fd/{name}")}
