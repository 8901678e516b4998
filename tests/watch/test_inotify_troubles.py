"""What the watcher of Linux does when the system forgets, and about what is made and changed without end."""

import shutil
import subprocess
import threading
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from host.watch import native
from host.watch.git_state import MAX_REF_DIRECTORIES
from host.watch.inotify_holdings import CONTENTS, Holdings
from host.watch.inotify_watcher import InotifyWatcher
from host.watch.inotify_watches import InotifyWatches
from host.watch.native import Event, Inotify
from host.watch.project import Timing
from tests.support.watching import Recorder, listed, watched

pytestmark = pytest.mark.usefixtures("nothing_is_left")


class ControlledInotify(Inotify):
    """Counts what it is asked to watch. Its reader waits while it is held; it may forget all that waits to be read."""

    def __init__(self) -> None:
        super().__init__()
        self.added = 0
        self.watches: set[int] = set()
        self.may_read = threading.Event()
        self.may_read.set()
        self.has_to_forget = False

    def add(self, descriptor: int, mask: int) -> int:
        self.added += 1
        watch = super().add(descriptor, mask)
        self.watches.add(watch)
        return watch

    def remove(self, watch: int) -> None:
        self.watches.discard(watch)
        super().remove(watch)

    def read(self) -> list[Event]:
        self.may_read.wait(30)
        events = super().read()
        if self.has_to_forget:
            self.has_to_forget = False
            return [Event(-1, native.IN_Q_OVERFLOW, "")]
        return events


def git(directory: Path, *arguments: str) -> None:
    identity = ["-c", "user.name=A", "-c", "user.email=a@example.org", "-c", "commit.gpgsign=false"]
    subprocess.run(["git", *identity, *arguments], cwd=directory, check=True, capture_output=True)


@pytest.fixture
def inotify() -> ControlledInotify:
    return ControlledInotify()


@pytest.fixture
async def watcher(inotify: ControlledInotify) -> AsyncIterator[InotifyWatcher]:
    opened = InotifyWatcher(
        open_inotify=lambda: inotify, max_entries=20, timing=Timing(root_s=0.0, gone_s=0.1, refused_s=60.0)
    )
    yield opened
    await opened.close()


@pytest.fixture
def repository(root: Path) -> Path:
    git(root, "init", "-q", "-b", "main")
    git(root, "commit", "-q", "--allow-empty", "-m", "first")
    return root


async def test_what_an_overflow_hides_of_the_repository_is_found(
    inotify: ControlledInotify, watcher: InotifyWatcher, repository: Path
) -> None:
    async with watched(watcher, repository) as recorder:
        inotify.may_read.clear()
        git(repository, "branch", "feature/a/b")
        inotify.has_to_forget = True
        inotify.may_read.set()
        await recorder.until(lambda: recorder.losses == 2 and recorder.git_changes > 0)
        await recorder.settle()
        recorder.git_changes = 0
        git(repository, "branch", "feature/a/c")
        await recorder.until(lambda: recorder.git_changes > 0)
        assert recorder.tree == listed(repository)


async def test_that_another_repository_took_the_place_of_the_root_is_told(
    watcher: InotifyWatcher, repository: Path, tmp_path: Path
) -> None:
    shutil.copytree(repository, tmp_path / "other")
    git(tmp_path / "other", "commit", "-q", "--allow-empty", "-m", "second")
    async with watched(watcher, repository) as recorder:
        await recorder.settle()
        recorder.git_changes = 0
        repository.rename(tmp_path / "away")
        (tmp_path / "other").rename(repository)
        await recorder.until(lambda: recorder.losses > 1 and recorder.git_changes > 0)


async def test_a_tree_that_is_too_large_is_not_read_again_for_each_change(
    inotify: ControlledInotify, watcher: InotifyWatcher, root: Path, tmp_path: Path
) -> None:
    (root / "many").mkdir()
    for number in range(30):
        (root / "many" / str(number)).touch()
    small = tmp_path / "small"
    small.mkdir()
    recorder = Recorder(root)
    large_watch = watcher.watch(root, recorder)
    await recorder.until(lambda: bool(recorder.states))
    async with watched(watcher, small) as other:
        added = inotify.added
        for number in range(10):
            (root / f"new-{number}").touch()
            await other.settle()
        assert inotify.added == added
    large_watch.stop()


async def test_rules_that_are_written_again_and_again_are_looked_at_once(
    inotify: ControlledInotify, watcher: InotifyWatcher, repository: Path
) -> None:
    exclude = repository / ".git/info/exclude"
    exclude.parent.mkdir(exist_ok=True)
    exclude.write_text("")
    (repository / "hidden").touch()
    async with watched(watcher, repository) as recorder:
        await recorder.settle()
        inotify.may_read.clear()
        for _ in range(200):
            exclude.write_text("hidden\n")
        added = inotify.added
        inotify.may_read.set()
        await recorder.settle()
        (repository / "hidden").write_text("text")
        await recorder.settle()
        assert not any(change.path == "hidden" for change in recorder.changes)
        assert inotify.added - added < 100


async def test_of_refs_no_more_directories_are_watched_than_a_thousand(
    inotify: ControlledInotify, watcher: InotifyWatcher, repository: Path
) -> None:
    async with watched(watcher, repository) as recorder:
        before = len(inotify.watches)
        for number in range(MAX_REF_DIRECTORIES + 200):
            (repository / f".git/refs/heads/{number}").mkdir()
        await recorder.settle()
        assert len(inotify.watches) <= MAX_REF_DIRECTORIES + before


def test_a_directory_that_is_gone_is_held_no_more(tmp_path: Path) -> None:
    watches = InotifyWatches()
    holdings = Holdings(watches)
    ended: list[str] = []
    (tmp_path / "held").mkdir()
    holdings.hold(tmp_path / "held", CONTENTS, lambda name, said: None, lambda: ended.append("held"))
    (tmp_path / "held").rmdir()
    watches.dispatch()
    watches.close()
    assert ended == ["held"]
    assert len(holdings) == 0
