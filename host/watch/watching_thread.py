"""The one thread that gives projects their turns."""

import asyncio
import logging
import math
import time
from collections.abc import Callable, Collection
from contextlib import suppress
from queue import Empty, SimpleQueue
from threading import Thread
from typing import Final, Protocol

from host.watch.mailbox import Mailbox
from host.watch.port import WatchState
from host.watch.project import Project

logger = logging.getLogger(__name__)

# Of one project, before the others and what the system has to tell get theirs.
_TURN_S: Final = 0.01
# After everything is done: what happens meanwhile is looked at together, and others get the interpreter.
_REST_S: Final = 0.004
# A disk that does not answer holds the thread up; the program ends nevertheless.
_END_TIMEOUT_S: Final = 5.0
# So that a lasting fault does not keep a processor busy.
_AFTER_FAULT_S: Final = 1.0

MakeProject = Callable[[Mailbox], Project]


class Source(Protocol):
    """Where the system tells what happened. For the thread only, but for ``wake``."""

    def wait(self, timeout_s: float) -> None:
        """Until the system has something to tell, ``wake`` was called, or the time is over; it may be infinite."""

    def wake(self) -> None:
        """End ``wait``, also one that is still to come."""

    def dispatch(self, projects: Collection[Project]) -> None:
        """Tell the projects what the system has told."""

    def close(self) -> None: ...


class WatchingThread:
    """Runs until it is closed, and closes ``source`` then. Everything is called on one event loop."""

    def __init__(self, source: Source, name: str, clock: Callable[[], float]) -> None:
        self._source = source
        self._clock = clock
        self._orders: SimpleQueue[Callable[[], object]] = SimpleQueue()
        self._projects: dict[Mailbox, Project] = {}
        self._has_to_end = False
        self._loop = asyncio.get_running_loop()
        self._ended = asyncio.Event()
        self._thread = Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    def add(self, mailbox: Mailbox, make: MakeProject) -> None:
        self._order(lambda: self._projects.update({mailbox: make(mailbox)}))

    def remove(self, mailbox: Mailbox) -> None:
        self._order(lambda: self._projects.pop(mailbox).end())

    async def close(self) -> None:
        """End the thread; afterwards nothing is done. One that a disk holds up is left behind."""
        self._has_to_end = True
        self._source.wake()
        with suppress(TimeoutError):
            await asyncio.wait_for(self._ended.wait(), _END_TIMEOUT_S)
            self._thread.join()
            self._source.close()

    def _order(self, order: Callable[[], object]) -> None:
        if not self._has_to_end:
            self._orders.put(order)
            self._source.wake()

    def _run(self) -> None:
        try:
            while not self._has_to_end:
                self._round_or_begin_anew()
        finally:
            # A loop that was closed waits for nothing.
            with suppress(RuntimeError):
                self._loop.call_soon_threadsafe(self._ended.set)

    def _round_or_begin_anew(self) -> None:
        try:
            self._round()
        except Exception:
            logger.exception("Watching failed; all projects are looked at anew.")
            for project in self._projects.values():
                project.lost()
            time.sleep(_AFTER_FAULT_S)

    def _round(self) -> None:
        self._source.wait(self._rest_s())
        with suppress(Empty):
            while True:
                self._orders.get_nowait()()
        self._source.dispatch(self._projects.values())
        for project in self._projects.values():
            if self._has_to_end:
                return
            now_s = self._clock()
            if project.is_busy or project.due_s <= now_s:
                self._give_turn(project, now_s + _TURN_S)
        if not self._is_busy:
            time.sleep(_REST_S)

    @property
    def _is_busy(self) -> bool:
        return any(project.is_busy for project in self._projects.values())

    def _rest_s(self) -> float:
        if self._is_busy:
            return 0.0
        due_s = min((project.due_s for project in self._projects.values()), default=math.inf)
        return max(due_s - self._clock(), 0.0)

    def _give_turn(self, project: Project, until_s: float) -> None:
        try:
            project.turn(until_s)
        except Exception:
            # The others are watched all the same.
            logger.exception("Watching %s failed; it begins anew.", project.root)
            project.fail_unforeseen()


class ThreadedWatch:
    """A Watch of a project that a thread looks after."""

    def __init__(self, mailbox: Mailbox, thread: WatchingThread) -> None:
        self._mailbox = mailbox
        self._thread = thread

    @property
    def state(self) -> WatchState:
        return self._mailbox.state

    def stop(self) -> None:
        if not self._mailbox.is_closed:
            self._mailbox.close()
            self._thread.remove(self._mailbox)
