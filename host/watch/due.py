"""Doing something when it is due, with no task and no timer while nothing is."""

import asyncio
import time
from collections.abc import Awaitable, Callable

from host.core.tasks import TaskSet


class WhenDue:
    """Awaits ``act`` when ``due_s``, a time of ``time.monotonic``, has come, and again until it is None."""

    def __init__(self, due_s: Callable[[], float | None], act: Callable[[], Awaitable[None]], tasks: TaskSet) -> None:
        self._due_s = due_s
        self._act = act
        self._tasks = tasks
        self._is_running = False

    def look(self) -> None:
        """To be called whenever ``due_s`` may no longer be None."""
        if not self._is_running:
            self._is_running = True
            self._tasks.spawn(self._run(), name=self._act.__qualname__)

    async def _run(self) -> None:
        try:
            while (due_s := self._due_s()) is not None:
                wait_s = due_s - time.monotonic()
                if wait_s > 0:
                    await asyncio.sleep(wait_s)
                else:
                    await self._act()
        finally:
            self._is_running = False
