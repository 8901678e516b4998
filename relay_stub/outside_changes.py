"""What other programs change in the relay's database while it runs: ``revoke``, ``rotate-keys``, ``passcode``."""

import asyncio
import logging
import sqlite3
from collections.abc import Callable
from typing import Final

from relay_stub.store.database import Database

logger = logging.getLogger(__name__)

# Looking costs some microseconds; a revoked session's connections live no longer than this.
LOOK_INTERVAL_S: Final = 0.25


async def follow_changes(database: Database, changed: Callable[[], None]) -> None:
    """Call ``changed`` soon after another program has changed something, until cancelled."""
    seen = database.changes_of_others()
    while True:
        await asyncio.sleep(LOOK_INTERVAL_S)
        try:
            now = database.changes_of_others()
            if now != seen:
                changed()
                seen = now
        except sqlite3.Error:
            logger.exception("The database could not be looked at; trying again")
