"""The daemon's one door to SQLite."""

import asyncio
import queue
import sqlite3
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, TypeVar

from host.core.clock import Clock
from host.db.errors import DatabaseClosed, DatabaseDamaged
from host.db.groups import Job, Outcome, read_only, run_group
from host.db.migrations import Migration, shipped_migrations
from host.db.opening import Opened, open_connection

MAX_QUEUED_JOBS: Final = 1024
MAX_GROUP_JOBS: Final = 256
BUSY_TIMEOUT_S: Final = 5.0

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class _Waiting:
    job: Job
    answer: "asyncio.Future[Any]"


class Database:
    """One connection, owned by one thread that commits waiting jobs in groups.

    Jobs are plain functions of the connection and run in the order they were given; one
    that was given runs whole or not at all, also when its caller is cancelled. Belongs to
    the event loop that opened it. ``warnings`` are sentences about what had to be mended.
    """

    def __init__(self, opened: Opened, path: Path) -> None:
        self.warnings: Final = opened.warnings
        # A sentence on why nothing is stored until the daemon is restarted.
        self.problem: str | None = None
        self._connection = opened.connection
        self._path = path
        self._loop = asyncio.get_running_loop()
        self._room = asyncio.Semaphore(MAX_QUEUED_JOBS)
        self._jobs: queue.SimpleQueue[_Waiting | None] = queue.SimpleQueue()
        self._closing = False
        self._closed = asyncio.Event()
        # A daemon thread: a loop that ends without close() must not keep the process alive.
        threading.Thread(target=self._work, name="database", daemon=True).start()

    @classmethod
    async def open(
        cls,
        path: Path,
        *,
        clock: Clock = time.time,
        migrations: Sequence[Migration] | None = None,
        busy_timeout_s: float = BUSY_TIMEOUT_S,
    ) -> "Database":
        """Open or make the file, sound, of the newest schema, and readable by its owner alone.

        What is no sound database of ours is set aside and a fresh one made; ``warnings``
        then says so. Raises DatabaseLocked, DatabaseNewer, DatabaseFull or DatabaseNotAccessible.
        """
        steps = shipped_migrations() if migrations is None else migrations
        opened = await asyncio.to_thread(
            open_connection, path, migrations=steps, clock=clock, busy_timeout_s=busy_timeout_s
        )
        return cls(opened, path)

    async def write(self, job: Callable[[sqlite3.Connection], T]) -> T:
        """Run ``job`` in a transaction of its own; returns its result once that is durable.

        What the job raises is raised here and undoes the job. Raises a DatabaseError when
        nothing could be stored.
        """
        result: T = await self._submit(job)
        return result

    async def read(self, job: Callable[[sqlite3.Connection], T]) -> T:
        """Like ``write`` for a job that changes nothing; it sees every write that was given before it."""
        result: T = await self._submit(read_only(job))
        return result

    async def close(self) -> None:
        """Finish what is queued, then close the file. May be called again."""
        if not self._closing:
            self._closing = True
            self._jobs.put(None)
        await self._closed.wait()

    async def _submit(self, job: Job) -> Any:
        await self._room.acquire()
        if self._closing:
            self._room.release()
            raise DatabaseClosed
        answer: asyncio.Future[Any] = self._loop.create_future()
        self._jobs.put(_Waiting(job, answer))
        return await answer

    def _work(self) -> None:
        """The thread. Nothing follows the None that ``close`` puts."""
        last = False
        while not last:
            group = self._next_group()
            last = None in group
            waiting = [item for item in group if item is not None]
            if waiting:
                outcomes = run_group(self._connection, [item.job for item in waiting], self._path)
                self._note_damage(outcomes)
                self._on_loop(self._deliver, waiting, outcomes)
        self._connection.close()
        self._on_loop(self._closed.set)

    def _note_damage(self, outcomes: Sequence[Outcome]) -> None:
        for outcome in outcomes:
            if isinstance(outcome.error, DatabaseDamaged):
                self.problem = outcome.error.message

    def _next_group(self) -> list[_Waiting | None]:
        group = [self._jobs.get()]
        while len(group) < MAX_GROUP_JOBS:
            try:
                group.append(self._jobs.get_nowait())
            except queue.Empty:
                break
        return group

    def _on_loop(self, callback: Callable[..., None], *arguments: Any) -> None:
        try:
            self._loop.call_soon_threadsafe(callback, *arguments)
        except RuntimeError:
            # The loop was closed: nobody waits any more.
            return

    def _deliver(self, waiting: Sequence[_Waiting], outcomes: Sequence[Outcome]) -> None:
        for item, outcome in zip(waiting, outcomes, strict=True):
            self._room.release()
            if item.answer.done():
                continue
            if outcome.error is None:
                item.answer.set_result(outcome.value)
            else:
                item.answer.set_exception(_fit_for_a_future(outcome.error))


def _fit_for_a_future(error: BaseException) -> BaseException:
    """Futures refuse StopIteration, as generators do."""
    if not isinstance(error, StopIteration):
        return error
    fit = RuntimeError("A database job raised StopIteration.")
    fit.__cause__ = error
    return fit
