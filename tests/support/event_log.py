"""The event log, and who writes into it."""

import sqlite3
import time
from collections.abc import Sequence

from host.core.clock import Clock, rfc3339
from host.db.database import Database
from host.db.event_log import EventLog, EventT, NewEvent, append, delete_stream, open_stream, trim_to


class WrittenLog(EventLog):
    """Streams by their names; each change is a transaction of its own, durable when its call returns."""

    def __init__(self, database: Database, *, clock: Clock = time.time) -> None:
        super().__init__(database)
        self._clock = clock

    async def open_stream(self, stream: str, project_id: str) -> None:
        await self._database.write(lambda connection: open_stream(connection, stream, project_id))

    async def append(self, stream: str, events: Sequence[NewEvent[EventT]]) -> list[EventT]:
        return await self._database.write(
            lambda connection: append(connection, _id_of(connection, stream), events, rfc3339(self._clock()))
        )

    async def keep_newest(self, stream: str, count: int) -> None:
        """Retention, by a bound that the newest ``count`` events fill."""

        def job(connection: sqlite3.Connection) -> None:
            stream_id = _id_of(connection, stream)
            (keep_bytes,) = connection.execute(
                "SELECT coalesce(sum(size), 0) FROM (SELECT length(payload) AS size FROM events "
                "WHERE stream_id = ? ORDER BY seq DESC LIMIT ?)",
                (stream_id, count),
            ).fetchone()
            trim_to(connection, stream_id, oldest_kept="", keep_bytes=keep_bytes)

        await self._database.write(job)

    async def delete_stream(self, stream: str) -> None:
        await self._database.write(lambda connection: delete_stream(connection, _id_of(connection, stream)))


def _id_of(connection: sqlite3.Connection, stream: str) -> int:
    (stream_id,) = connection.execute("SELECT stream_id FROM streams WHERE stream = ?", (stream,)).fetchone()
    return int(stream_id)
