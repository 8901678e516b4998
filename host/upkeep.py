"""What the daemon does for its own sake: settling what a crash cut off, and tidying up."""

import asyncio
import logging
from typing import Final, Protocol

from host.core.memory import give_memory_back
from host.db.command_runs import CommandRuns
from host.db.request_log import RequestLog
from host.files.handlers import FileHandlers

logger = logging.getLogger(__name__)

_TRIM_INTERVAL_S: Final = 60.0
_TRIMS_PER_PURGE: Final = 60
# A disk that does not answer must not keep the daemon from starting.
_CLEAN_UP_TIMEOUT_S: Final = 10.0


class Kept(Protocol):
    """What is kept for a while."""

    async def purge(self) -> None:
        """Drop what is too old or too much."""


async def settle_unfinished(log: RequestLog, runs: CommandRuns, files: FileHandlers) -> None:
    """At start: what was under way when the daemon ended leaves no temporary file, and has an unknown outcome.

    Commands get their end, ``interrupted``. In this order, so that a daemon that is killed in between begins anew.
    """
    if unfinished := await log.unfinished():
        logger.warning("%d requests were cut off when the daemon last ended; their outcome is unknown", len(unfinished))
        try:
            async with asyncio.timeout(_CLEAN_UP_TIMEOUT_S):
                await files.clean_up(unfinished)
        except TimeoutError:
            logger.warning("The temporary files of writes that were cut off could not all be removed in time")
    await runs.interrupt_unfinished()
    await log.recover()


async def keep_tidy(*kept: Kept) -> None:
    """Drop what is too old, at once and every hour, and give free memory back, every minute. Runs for ever."""
    while True:
        for each in kept:
            await _purge(each)
        for _ in range(_TRIMS_PER_PURGE):
            await asyncio.sleep(_TRIM_INTERVAL_S)
            give_memory_back()


async def _purge(kept: Kept) -> None:
    try:
        await kept.purge()
    except Exception:
        # A full disk must not end the daemon; the next hour tries again.
        logger.exception("What is too old could not be dropped")
