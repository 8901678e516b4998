"""The watcher of Linux: one inotify instance and one thread for all projects."""

import math
import os
import select
import time
from collections.abc import Callable, Collection
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import NamedTuple

from host.watch.inotify_git import GitGuard
from host.watch.inotify_root import RootGuard
from host.watch.inotify_watches import InotifyWatches
from host.watch.mailbox import Mailbox
from host.watch.mounts import shared_file_system
from host.watch.native import Inotify
from host.watch.port import Watch, WatchListener
from host.watch.project import MAX_ENTRIES, Companion, Project, Timing
from host.watch.watching_thread import ThreadedWatch, WatchingThread


class InotifySource:
    """One inotify instance, and a pipe to wake who waits for it. A Source."""

    def __init__(self, open_inotify: Callable[[], Inotify]) -> None:
        self.watches = InotifyWatches(open_inotify)
        self._waker, self._wakes = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)

    def wait(self, timeout_s: float) -> None:
        poll = select.poll()
        poll.register(self._waker, select.POLLIN)
        if self.watches.inotify is not None:
            poll.register(self.watches.inotify, select.POLLIN)
        ready = poll.poll(None if math.isinf(timeout_s) else math.ceil(timeout_s * 1000))
        if any(descriptor == self._waker for descriptor, _ in ready):
            os.read(self._waker, 4096)

    def wake(self) -> None:
        # Where the pipe is full it will wake up as it is.
        with suppress(BlockingIOError):
            os.write(self._wakes, b"\0")

    def dispatch(self, projects: Collection[Project]) -> None:
        if self.watches.dispatch():
            for project in projects:
                project.lost()

    def close(self) -> None:
        self.watches.close()
        os.close(self._waker)
        os.close(self._wakes)


class _Running(NamedTuple):
    source: InotifySource
    thread: WatchingThread


class InotifyWatcher:
    """A Watcher. What lies on network file systems has a thread of its own, as those may not answer."""

    def __init__(
        self,
        *,
        open_inotify: Callable[[], Inotify] = Inotify,
        file_system_of: Callable[[Path], str | None] = shared_file_system,
        ignored: str = "",
        max_entries: int = MAX_ENTRIES,
        timing: Timing | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._open_inotify = open_inotify
        self._file_system_of = file_system_of
        self._ignored = ignored
        self._max_entries = max_entries
        self._timing = timing or Timing()
        self._clock = clock
        self._running: dict[str, _Running] = {}

    def watch(self, root: Path, listener: WatchListener) -> Watch:
        file_system = self._file_system_of(root)
        running = self._thread_for(file_system)
        mailbox = Mailbox(listener)
        running.thread.add(mailbox, partial(self._project, root, file_system, running.source.watches))
        return ThreadedWatch(mailbox, running.thread)

    async def close(self) -> None:
        for running in self._running.values():
            await running.thread.close()
        self._running.clear()

    def _thread_for(self, file_system: str | None) -> _Running:
        name = "watching" if file_system is None else "watching-network"
        if name not in self._running:
            source = InotifySource(self._open_inotify)
            self._running[name] = _Running(source, WatchingThread(source, name, self._clock))
        return self._running[name]

    def _project(self, root: Path, file_system: str | None, watches: InotifyWatches, mailbox: Mailbox) -> Project:
        def companions(project: Project) -> tuple[Companion, ...]:
            return RootGuard(project, watches), GitGuard(project, watches)

        return Project(
            root,
            mailbox,
            watches,
            companions,
            file_system=file_system,
            ignored=self._ignored,
            max_entries=self._max_entries,
            timing=self._timing,
            clock=self._clock,
        )
