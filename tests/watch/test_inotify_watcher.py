"""What the watcher of Linux promises besides: limits, overflows, other file systems, and how little it takes."""

import asyncio
import errno
import os
import shutil
import subprocess
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from host.watch.inotify_watcher import InotifyWatcher
from host.watch.native import Event, Inotify
from host.watch.port import RUNNING
from host.watch.project import Timing
from tests.support.watching import TIMEOUT_S, Recorder, listed, watched

pytestmark = pytest.mark.usefixtures("nothing_is_left")

# Short, so that what is only looked for is found while a test waits.
QUICK = Timing(root_s=0.05, gone_s=0.1, refused_s=0.1, poll_s=0.1, poll_share=0.5)


class LimitedInotify(Inotify):
    """Watches ``max_watches`` directories and refuses more, as the system does past its limit."""

    max_watches = 5

    def __init__(self) -> None:
        super().__init__()
        self.watches: set[int] = set()
        self.masks: list[int] = []

    def add(self, descriptor: int, mask: int) -> int:
        if len(self.watches) >= self.max_watches:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        watch = super().add(descriptor, mask)
        self.watches.add(watch)
        return watch

    def remove(self, watch: int) -> None:
        self.watches.discard(watch)
        super().remove(watch)


class HeldInotify(Inotify):
    """Its reader waits while it is held, so that the system's queue fills up."""

    def __init__(self) -> None:
        super().__init__()
        self.may_read = threading.Event()
        self.may_read.set()

    def read(self) -> list[Event]:
        self.may_read.wait(30)
        return super().read()


@asynccontextmanager
async def closing(watcher: InotifyWatcher) -> AsyncIterator[InotifyWatcher]:
    try:
        yield watcher
    finally:
        await watcher.close()


def make_files(root: Path, *files: str) -> None:
    for file in files:
        (root / file).parent.mkdir(parents=True, exist_ok=True)
        (root / file).write_text("text")


@pytest.mark.slow
async def test_an_overflow_is_told_and_what_is_known_is_right_again(root: Path) -> None:
    held = HeldInotify()
    make_files(root, "sub/file")
    # Each file is an event or more, and so many the system keeps.
    count = int(Path("/proc/sys/fs/inotify/max_queued_events").read_text()) + 1000
    async with closing(InotifyWatcher(open_inotify=lambda: held)) as watcher, watched(watcher, root) as recorder:
        held.may_read.clear()
        (root / "first").touch()
        await asyncio.to_thread(_make_many, root, count)
        held.may_read.set()
        await recorder.until(lambda: recorder.losses == 2)
        await recorder.settle()
        assert len(recorder.tree) == count + 4
        shutil.rmtree(root / "sub")
        await recorder.settle()
        assert recorder.tree == listed(root)


def _make_many(root: Path, count: int) -> None:
    for number in range(count):
        os.close(os.open(root / f"file-{number}", os.O_CREAT | os.O_WRONLY))


@pytest.mark.slow
async def test_very_deep_trees_are_watched_as_far_as_a_path_may_be_long(root: Path) -> None:
    async with closing(InotifyWatcher()) as watcher, watched(watcher, root) as recorder:
        _make_deep(root, 2500)
        await recorder.until(lambda: "/".join("d" * 1900) in recorder.tree)
        subprocess.run(["rm", "-r", root / "d"], check=True)
        await recorder.until(lambda: "d" not in recorder.tree)


def _make_deep(root: Path, depth: int) -> None:
    directory = os.open(root, os.O_RDONLY)
    for _ in range(depth):
        os.mkdir("d", dir_fd=directory)
        below = os.open("d", os.O_RDONLY, dir_fd=directory)
        os.close(directory)
        directory = below
    os.close(directory)


async def test_past_the_systems_limit_the_rest_is_looked_for_and_a_sentence_says_what_to_do(root: Path) -> None:
    make_files(root, *(f"{number}/file" for number in range(10)))
    inotify = LimitedInotify()
    watcher = InotifyWatcher(open_inotify=lambda: inotify, timing=QUICK)
    async with closing(watcher), watched(watcher, root) as recorder:
        assert recorder.states[-1].is_running
        assert "sudo sysctl fs.inotify.max_user_watches=" in (recorder.states[-1].problem or "")
        make_files(root, *(f"{number}/new" for number in range(10)), "a/b/c/file")
        await recorder.until(lambda: recorder.tree == listed(root))
        recorder.changes.clear()
        for number in range(10):
            (root / f"{number}/file").write_text("longer text")
        await recorder.until(lambda: {f"{number}/file" for number in range(10)} <= {c.path for c in recorder.changes})
        assert not any(change.kind != "modify" for change in recorder.changes)


async def test_when_the_limit_is_raised_all_is_watched_again(root: Path) -> None:
    make_files(root, *(f"{number}/file" for number in range(10)))
    inotify = LimitedInotify()
    watcher = InotifyWatcher(open_inotify=lambda: inotify, timing=QUICK)
    async with closing(watcher), watched(watcher, root) as recorder:
        assert recorder.states[-1] != RUNNING
        inotify.max_watches = 1000
        await recorder.until(lambda: recorder.states[-1] == RUNNING)
        make_files(root, "9/new")
        await recorder.settle()
        assert recorder.tree == listed(root)


async def test_a_limit_that_is_reached_later_is_told(root: Path) -> None:
    inotify = LimitedInotify()
    inotify.max_watches = 20
    watcher = InotifyWatcher(open_inotify=lambda: inotify, timing=QUICK)
    async with closing(watcher), watched(watcher, root) as recorder:
        assert recorder.states == [RUNNING]
        make_files(root, *(f"{number}/a/file" for number in range(20)))
        await recorder.until(lambda: recorder.states[-1] != RUNNING)
        assert recorder.states[-1].is_running
        make_files(root, *(f"{number}/a/new" for number in range(20)))
        await recorder.until(lambda: recorder.tree == listed(root))


async def test_without_an_instance_changes_are_looked_for_until_there_is_one(root: Path) -> None:
    make_files(root, "a/file")
    is_refused = True

    def open_inotify() -> Inotify:
        if is_refused:
            raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))
        return Inotify()

    watcher = InotifyWatcher(open_inotify=open_inotify, timing=QUICK)
    async with closing(watcher), watched(watcher, root) as recorder:
        assert "sudo sysctl fs.inotify.max_user_instances=" in (recorder.states[-1].problem or "")
        make_files(root, "a/new", "b/c/new")
        (root / "a/file").write_text("longer text")
        await recorder.until(lambda: recorder.tree == listed(root) and "a/file" in {c.path for c in recorder.changes})
        is_refused = False
        await recorder.until(lambda: recorder.states[-1] == RUNNING)


async def test_what_others_change_on_a_network_file_system_is_looked_for(root: Path) -> None:
    make_files(root, "a/file")
    watcher = InotifyWatcher(file_system_of=lambda path: "nfs4", timing=QUICK)
    async with closing(watcher), watched(watcher, root) as recorder:
        assert recorder.states[-1].is_running
        assert "nfs4" in (recorder.states[-1].problem or "")
        assert [thread.name for thread in threading.enumerate() if thread.name.startswith("watching")] == [
            "watching-network"
        ]
        make_files(root, "a/new")
        await recorder.settle()
        assert recorder.tree == listed(root)


async def test_too_many_files_are_not_watched_and_a_sentence_says_so(root: Path) -> None:
    make_files(root, *(f"a/{number}" for number in range(30)))
    watcher = InotifyWatcher(max_entries=20, timing=QUICK)
    recorder = Recorder(root)
    async with closing(watcher):
        watcher.watch(root, recorder)
        await recorder.until(lambda: bool(recorder.states))
        assert not recorder.states[-1].is_running
        assert ".gitignore" in (recorder.states[-1].problem or "")
        (root / ".gitignore").write_text("a\n")
        await recorder.until(lambda: recorder.states[-1] == RUNNING)


async def test_only_what_is_not_ignored_is_watched(root: Path) -> None:
    (root / ".gitignore").write_text("out/\n")
    make_files(root, "src/a/file", "src/b/file", "node_modules/x/y/file", "out/x/file", "src/__pycache__/x")
    inotify = LimitedInotify()
    inotify.max_watches = 1000
    above = len(root.parents)
    async with closing(InotifyWatcher(open_inotify=lambda: inotify)) as watcher, watched(watcher, root) as recorder:
        # The root, src, a, b; and what the root lies in, for nothing but that it is moved.
        assert len(inotify.watches) == 4 + above
        (root / ".gitignore").write_text("out/\nsrc/\n")
        await recorder.settle()
        assert len(inotify.watches) == 1 + above
        (root / ".gitignore").write_text("")
        await recorder.settle()
        assert len(inotify.watches) == 6 + above


async def test_a_stopped_watch_gives_its_directories_back(tmp_path: Path) -> None:
    make_files(tmp_path, "one/a/b/file", "two/file")
    inotify = LimitedInotify()
    inotify.max_watches = 1000
    watcher = InotifyWatcher(open_inotify=lambda: inotify)
    async with closing(watcher), watched(watcher, tmp_path / "two") as two:
        before = len(inotify.watches)
        async with watched(watcher, tmp_path / "one"):
            assert len(inotify.watches) == before + 3
        await two.settle()
        assert len(inotify.watches) == before


@pytest.mark.slow
async def test_nothing_wakes_up_while_nothing_happens(root: Path) -> None:
    make_files(root, "a/file")
    watcher = InotifyWatcher(timing=Timing(root_s=0.05))
    async with closing(watcher), watched(watcher, root) as recorder:
        await recorder.settle()
        thread = next(thread for thread in threading.enumerate() if thread.name == "watching")
        # After something was made in it, the root is looked at once more.
        before: list[str] = []
        async with asyncio.timeout(TIMEOUT_S):
            while _switches(thread) != before:
                before = _switches(thread)
                await asyncio.sleep(1)


def _switches(thread: threading.Thread) -> list[str]:
    status = Path(f"/proc/self/task/{thread.native_id}/status").read_text()
    return [line for line in status.splitlines() if "ctxt_switches" in line and "nonvoluntary" not in line]


async def test_a_hundred_projects_take_one_thread_and_one_instance(tmp_path: Path) -> None:
    opened: list[Inotify] = []

    def open_inotify() -> Inotify:
        opened.append(Inotify())
        return opened[-1]

    recorders = [Recorder(tmp_path / f"project-{number}") for number in range(100)]
    async with closing(InotifyWatcher(open_inotify=open_inotify)) as watcher:
        for recorder in recorders:
            recorder.root.mkdir()
            watcher.watch(recorder.root, recorder)
        for recorder in recorders:
            await recorder.until(lambda recorder=recorder: recorder.losses > 0)  # type: ignore[misc]
            await recorder.settle()
        assert len(opened) == 1
        assert len([thread for thread in threading.enumerate() if thread.name.startswith("watching")]) == 1


@pytest.fixture
def permissions_count(tmp_path: Path) -> None:
    closed = tmp_path / "closed"
    closed.mkdir(mode=0)
    if os.access(closed, os.R_OK):
        pytest.skip("Who runs the tests may read every directory, as root may.")


@pytest.mark.usefixtures("permissions_count")
async def test_a_directory_that_may_not_be_read_is_left_out_until_it_may(root: Path) -> None:
    make_files(root, "closed/file", "open/file")
    (root / "closed").chmod(0)
    async with closing(InotifyWatcher()) as watcher, watched(watcher, root) as recorder:
        make_files(root, "open/new")
        await recorder.settle()
        assert recorder.states == [RUNNING]
        assert "closed" in recorder.tree
        (root / "closed").chmod(0o700)
        await recorder.settle()
        assert recorder.tree == listed(root)


@pytest.mark.usefixtures("permissions_count")
async def test_a_root_that_may_not_be_read_is_told_with_what_to_do(root: Path) -> None:
    recorder = Recorder(root)
    root.chmod(0)
    try:
        async with closing(InotifyWatcher(timing=QUICK)) as watcher:
            watcher.watch(root, recorder)
            await recorder.until(lambda: bool(recorder.states))
            assert "permissions" in (recorder.states[-1].problem or "")
            root.chmod(0o700)
            await recorder.until(lambda: recorder.states[-1] == RUNNING)
    finally:
        root.chmod(0o700)


def mount(*arguments: str | Path) -> None:
    result = subprocess.run(["mount", *arguments], check=False, capture_output=True, text=True)
    if result.returncode != 0:
        pytest.skip(f"Nothing can be mounted here: {result.stderr.strip()}")


async def test_the_same_directory_at_two_places_is_watched_at_both(root: Path) -> None:
    make_files(root, "one/file", "two/x")
    mount("--bind", root / "one", root / "two")
    try:
        async with closing(InotifyWatcher()) as watcher, watched(watcher, root) as recorder:
            make_files(root, "one/a", "two/b")
            await recorder.settle()
            assert {"one/a", "one/b", "two/a", "two/b"} <= recorder.tree.keys()
            assert recorder.tree == listed(root)
    finally:
        subprocess.run(["umount", root / "two"], check=True)


async def test_a_loop_of_mounts_ends(root: Path) -> None:
    make_files(root, "sub/loop/x", "file")
    mount("--rbind", root, root / "sub/loop")
    try:
        async with closing(InotifyWatcher()) as watcher, watched(watcher, root) as recorder:
            make_files(root, "new")
            await recorder.settle()
            assert "sub/loop/new" in recorder.tree
    finally:
        subprocess.run(["umount", root / "sub/loop"], check=True)


async def test_a_root_whose_disk_is_taken_out_is_told_and_found_again(root: Path) -> None:
    mount("-t", "tmpfs", "none", root)
    try:
        make_files(root, "a/file")
        async with closing(InotifyWatcher()) as watcher, watched(watcher, root) as recorder:
            assert "a/file" in recorder.tree
            subprocess.run(["umount", root], check=True)
            await recorder.until(lambda: "a/file" not in recorder.tree)
            make_files(root, "b/file")
            await recorder.settle()
            assert recorder.tree == listed(root)
    finally:
        subprocess.run(["umount", root], check=False, capture_output=True)
