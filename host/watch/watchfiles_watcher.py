"""The watcher of systems without inotify: the watchfiles library says where, the disk says what."""

import os
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Final

from watchfiles import Change
from watchfiles.main import FileChange

from host.watch import hints
from host.watch.directory import Directory
from host.watch.git_look import GitLook
from host.watch.mailbox import Mailbox
from host.watch.port import Watch, WatchListener
from host.watch.project import MAX_ENTRIES, Project, Timing
from host.watch.tree import Tree
from host.watch.watchfiles_source import HintStream, Place
from host.watch.watching_thread import ThreadedWatch, WatchingThread

# The library polls, too: a root that is gone costs little more.
_TIMING: Final = Timing(gone_s=1.0, poll_s=60.0)


class InodeNumbers:
    """Watches nothing; tells directories apart by their inode numbers. Watches of a Project."""

    tells_all = False

    def add(self, descriptor: int, directory: Directory) -> int:
        status = os.fstat(descriptor)
        return status.st_dev << 64 | status.st_ino

    def drop(self, directory: Directory) -> None: ...

    def try_again(self) -> None: ...


class WatchfilesSource:
    """Where the library tells what happened. A Source."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._stream = HintStream(clock)
        self.wait = self._stream.wait
        self.wake = self._stream.wake
        self.close = self._stream.close

    def dispatch(self, projects: Collection[Project]) -> None:
        places = {project: tuple(_places(project)) for project in projects}
        if self._stream.follow(place for several in places.values() for place in several):
            for project in projects:
                project.look_soon()
        if told := self._stream.take():
            for project, several in places.items():
                _tell(project, several, told)


class WatchfilesWatcher:
    """A Watcher with one thread, and one of the library."""

    def __init__(
        self,
        *,
        ignored: str = "",
        timing: Timing = _TIMING,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._ignored = ignored
        self._timing = timing
        self._clock = clock
        self._thread: WatchingThread | None = None

    def watch(self, root: Path, listener: WatchListener) -> Watch:
        if self._thread is None:
            self._thread = WatchingThread(WatchfilesSource(self._clock), "watching", self._clock)
        mailbox = Mailbox(listener)
        self._thread.add(mailbox, partial(self._project, root))
        return ThreadedWatch(mailbox, self._thread)

    async def close(self) -> None:
        if self._thread is not None:
            await self._thread.close()
            self._thread = None

    def _project(self, root: Path, mailbox: Mailbox) -> Project:
        return Project(
            root,
            mailbox,
            InodeNumbers(),
            lambda project: (GitLook(project),),
            file_system=None,
            ignored=self._ignored,
            max_entries=MAX_ENTRIES,
            timing=self._timing,
            clock=self._clock,
        )


def _places(project: Project) -> Iterator[Place]:
    """The root, and where its repository lies outside of it."""
    tops = [project.root]
    for look in _git_looks(project):
        if look.repository is not None:
            tops += [look.repository.git_dir, look.repository.common_dir]
    for top in tops:
        if top == project.root or not top.is_relative_to(project.root):
            with suppress(OSError):
                status = os.lstat(top)
                yield top, (status.st_dev, status.st_ino)


def _git_looks(project: Project) -> Iterator[GitLook]:
    return (companion for companion in project.companions if isinstance(companion, GitLook))


def _tell(project: Project, places: Sequence[Place], told: Collection[FileChange]) -> None:
    # Most is about others.
    beginnings = tuple(str(path) for path, _ in places)
    for kind, path in told:
        if path.startswith(beginnings):
            # What is there again may have been anywhere meanwhile; that is told only of what lies on top.
            _hint(project, Path(path), hints.ATTRIBUTES if kind is Change.modified else hints.DOUBT)


def _hint(project: Project, path: Path, said: int) -> None:
    for look in _git_looks(project):
        look.hinted(path)
    if path == project.root:
        project.take_turn()
    elif project.tree is not None and path.is_relative_to(project.root):
        _mark(project.tree, path.relative_to(project.root).parts, said)


def _mark(tree: Tree, parts: Sequence[str], said: int) -> None:
    """Have the entry looked at; or the first on the way to it that is not known as a directory."""
    directory = tree.root
    for part in parts[:-1]:
        below = directory.entries.get(part)
        if not isinstance(below, Directory):
            tree.noticed(directory, part, hints.ATTRIBUTES)
            return
        directory = below
    tree.noticed(directory, parts[-1], said)
