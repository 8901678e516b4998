"""Background work that nobody awaits, kept and bounded by whoever owns the set."""

import asyncio
import contextvars
import logging
from collections.abc import Coroutine
from typing import Any

from host.core.logging import request_id

logger = logging.getLogger(__name__)


class TaskSet:
    """Runs coroutines beside the caller; a failure is logged with its traceback and ends only itself.

    What they log bears no request's id: they are no part of the request that began them, and may outlive it.
    """

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[None]] = set()

    def __len__(self) -> int:
        return len(self._tasks)

    def spawn(self, work: Coroutine[Any, Any, None], *, name: str | None = None) -> None:
        context = contextvars.copy_context()
        context.run(request_id.set, "")
        task = asyncio.create_task(work, name=name, context=context)
        self._tasks.add(task)
        task.add_done_callback(self._ended)

    async def drain(self) -> None:
        """Wait until nothing runs any more."""
        while self._tasks:
            await asyncio.wait(tuple(self._tasks))

    async def cancel(self) -> None:
        """Cancel what runs and wait for it."""
        tasks = tuple(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (fault := task.exception()):
            logger.error("Background work failed: %s", task.get_name(), exc_info=fault)


async def run_together(*work: Coroutine[Any, Any, None]) -> None:
    """Run until the first one ends or fails; the others are then cancelled and waited for.

    Raises what the first one raised, bare. (A ``TaskGroup`` would wrap it in an ``ExceptionGroup``,
    which callers that wait for a lost connection would miss.)
    """
    tasks = [asyncio.create_task(coroutine) for coroutine in work]
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    # In the order given, so that of several that ended at once the first in the list counts.
    next(task for task in tasks if task in done).result()
