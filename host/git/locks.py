"""One change of a repository at a time, in the order in which they came."""

import asyncio
from collections.abc import AsyncIterator, Hashable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Final

from host.protocol.errors import DaemonBusy

MAX_WAITING: Final = 50


@dataclass
class _Queue:
    """``here`` counts the holder and those that wait. ``doing``: what the holder does."""

    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    here: int = 0
    doing: str = ""


class RepositoryLocks:
    """Holders of a same key never overlap, and get their turn in the order in which they came.

    Belongs to one event loop.
    """

    def __init__(self, *, max_waiting: int = MAX_WAITING) -> None:
        self._max_waiting = max_waiting
        self._queues: dict[Hashable, _Queue] = {}

    @asynccontextmanager
    async def held(self, repository: Hashable, doing: str, *, wait_s: float) -> AsyncIterator[None]:
        """Raises DaemonBusy when too many wait already, and when its turn does not come within ``wait_s``.

        ``doing``: what others are told that they wait for.
        """
        queue = self._queues.setdefault(repository, _Queue())
        if queue.here > self._max_waiting:
            raise DaemonBusy("Too many changes of this repository wait already. Try again when some have ended.")
        queue.here += 1
        try:
            await self._acquire(queue, wait_s)
            try:
                queue.doing = doing
                yield
            finally:
                queue.lock.release()
        finally:
            queue.here -= 1
            if queue.here == 0:
                del self._queues[repository]

    async def _acquire(self, queue: _Queue, wait_s: float) -> None:
        try:
            async with asyncio.timeout(wait_s):
                await queue.lock.acquire()
        except TimeoutError as exc:
            message = f"Another change of this repository ({queue.doing}) has not ended yet. Try again when it has."
            raise DaemonBusy(message) from exc
