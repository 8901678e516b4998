"""What of the agents' sessions is kept: 30 days and 50 MB of each one's events, and turns as long as these."""

import sqlite3
import time
from functools import partial

from host.core.clock import Clock, rfc3339
from host.db.agent_turns import delete_ended_turns
from host.db.database import Database
from host.db.event_log import trim_to
from host.protocol.limits import KEPT_AGENT_EVENTS_BYTES, KEPT_AGENT_EVENTS_S


class AgentRetention:
    """Of a session whose events all were too old the row stays, and where its numbers go on."""

    def __init__(
        self,
        database: Database,
        *,
        clock: Clock = time.time,
        keep_s: float = KEPT_AGENT_EVENTS_S,
        keep_bytes: int = KEPT_AGENT_EVENTS_BYTES,
    ) -> None:
        self._database = database
        self._clock = clock
        self._keep_s = keep_s
        self._keep_bytes = keep_bytes

    async def purge(self) -> None:
        """Delete events that are too old or too many, and turns that ended too long ago."""
        oldest_kept = rfc3339(self._clock() - self._keep_s)
        # One by one: a session can have many events, and others write in between.
        for stream_id in await self._database.read(_streams):
            await self._database.write(
                partial(trim_to, stream_id=stream_id, oldest_kept=oldest_kept, keep_bytes=self._keep_bytes)
            )
        await self._database.write(partial(delete_ended_turns, oldest_kept=oldest_kept))


def _streams(connection: sqlite3.Connection) -> list[int]:
    rows = connection.execute("SELECT stream_id FROM streams WHERE stream >= 'agent:' AND stream < 'agent;'")
    return [stream_id for (stream_id,) in rows]
