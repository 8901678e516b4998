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


class OutsideChanges:
    """``changed`` is called when another program has changed something since the last look."""

    def __init__(self, database: Database, changed: Callable[[], None]) -> None:
        self._database = database
        self._changed = changed
        self._seen = database.changes_of_others()

    def look(self) -> None:
        """Now: what is done next counts on what has been revoked by this moment."""
        now = self._database.changes_of_others()
        if now != self._seen:
            self._changed()
            self._seen = now

    async def follow(self) -> None:
        """Look often, until cancelled."""
        while True:
            await asyncio.sleep(LOOK_INTERVAL_S)
            try:
                self.look()
            except sqlite3.Error:
                logger.exception("The database could not be looked at; trying again")
