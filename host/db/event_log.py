"""The durable log of events: the log is the truth, the push is a hint.

An event is committed here before it is sent, and who missed it reads it from here. What changes the log are
functions of a connection, because it is always part of a job that changes more; ``EventLog`` reads it.
"""

import sqlite3
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass
from typing import Generic, TypeVar

import msgspec

from host.db.database import Database
from host.db.pages import first_page
from host.protocol.errors import SessionNotFound
from host.protocol.messages.base import Event, encode_payload
from host.protocol.messages.events import EventsReadResponse, LoggedEvent

EventT = TypeVar("EventT", bound=Event)


@dataclass(frozen=True, slots=True)
class NewEvent(Generic[EventT]):
    """An event without a number: ``make`` is called once, with the seq and the time that it gets in the log.

    So number and time are the same in the row and in the payload. ``type`` is the row's.
    ``make`` runs in the database's thread: it only puts together what it holds.
    """

    type: str
    make: Callable[[int, str], EventT]


class EventLog:
    """Streams of events, each owned by a project, as clients read them."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def read(self, stream: str, project_id: str, *, after_seq: int, limit: int) -> EventsReadResponse:
        """A page of what follows ``after_seq`` and is still there: at most ``limit`` events, at most 4 MB or one event.

        Raises SessionNotFound for an unknown stream, and for another project's.
        """
        return await self._database.read(lambda connection: _read(connection, stream, project_id, after_seq, limit))


def open_stream(connection: sqlite3.Connection, stream: str, project_id: str) -> int:
    """Make the stream unless it is there; returns its id. Raises SessionNotFound if it is another project's."""
    connection.execute(
        "INSERT INTO streams (stream, project_id) VALUES (?, ?) ON CONFLICT (stream) DO NOTHING", (stream, project_id)
    )
    stream_id: int = _find(connection, stream, project_id)[0]
    return stream_id


def append(connection: sqlite3.Connection, stream_id: int, events: Sequence[NewEvent[EventT]], at: str) -> list[EventT]:
    """Log all of the events, or none; they are numbered on from the last one, from 1, without a gap.

    Returns them as they are to be sent. ``at`` is RFC 3339 UTC.
    """
    (last_seq,) = connection.execute("SELECT last_seq FROM streams WHERE stream_id = ?", (stream_id,)).fetchone()
    made = [event.make(seq, at) for seq, event in enumerate(events, last_seq + 1)]
    connection.executemany(
        "INSERT INTO events (stream_id, seq, at, type, payload) VALUES (?, ?, ?, ?, ?)",
        [
            (stream_id, seq, at, new.type, encode_payload(event))
            for seq, (new, event) in enumerate(zip(events, made, strict=True), last_seq + 1)
        ],
    )
    connection.execute("UPDATE streams SET last_seq = ? WHERE stream_id = ?", (last_seq + len(made), stream_id))
    return made


def trim_to(connection: sqlite3.Connection, stream_id: int, oldest_kept: str, keep_bytes: int) -> None:
    """Delete what was logged before that time, RFC 3339 UTC, and the oldest of more than ``keep_bytes`` of payloads."""
    (newest_too_old,) = connection.execute(
        "SELECT max(seq) FROM events WHERE stream_id = ? AND at < ?", (stream_id, oldest_kept)
    ).fetchone()
    newest_too_much = _newest_beyond(connection, stream_id, keep_bytes)
    floor_seq = max(newest_too_old or 0, newest_too_much) + 1
    if floor_seq > 1:
        _trim(connection, stream_id, floor_seq)


def delete_stream(connection: sqlite3.Connection, stream_id: int) -> None:
    """Its events go with it, and the run, or the session with its turns and prompts, that it is of."""
    connection.execute("DELETE FROM streams WHERE stream_id = ?", (stream_id,))


def last_event_at(connection: sqlite3.Connection, stream_id: int) -> str | None:
    """When the newest event was logged, RFC 3339 UTC; None where there is none."""
    row = connection.execute(
        "SELECT at FROM events WHERE stream_id = ? ORDER BY seq DESC LIMIT 1", (stream_id,)
    ).fetchone()
    return row[0] if row else None


def _read(
    connection: sqlite3.Connection, stream: str, project_id: str, after_seq: int, limit: int
) -> EventsReadResponse:
    stream_id, last_seq, floor_seq = _find(connection, stream, project_id)
    rows = connection.execute(
        "SELECT seq, at, type, payload FROM events WHERE stream_id = ? AND seq > ? ORDER BY seq LIMIT ?",
        (stream_id, after_seq, limit + 1),
    )
    page, more = first_page(rows, limit, sized_column=3)
    return EventsReadResponse(
        stream=stream,
        events=[LoggedEvent(seq, at, kind, msgspec.Raw(payload)) for seq, at, kind, payload in page],
        last_seq=last_seq,
        floor_seq=floor_seq,
        more=more,
    )


def _newest_beyond(connection: sqlite3.Connection, stream_id: int, keep_bytes: int) -> int:
    """The last event before the newest ones that hold ``keep_bytes`` together; 0 when there is none."""
    sizes = connection.execute(
        "SELECT seq, length(payload) FROM events WHERE stream_id = ? ORDER BY seq DESC", (stream_id,)
    )
    with closing(sizes):
        for seq, size_bytes in sizes:
            keep_bytes -= size_bytes
            if keep_bytes < 0:
                return int(seq)
    return 0


def _trim(connection: sqlite3.Connection, stream_id: int, floor_seq: int) -> None:
    connection.execute(
        "UPDATE streams SET floor_seq = max(floor_seq, min(?, last_seq + 1)) WHERE stream_id = ?",
        (floor_seq, stream_id),
    )
    connection.execute("DELETE FROM events WHERE stream_id = ? AND seq < ?", (stream_id, floor_seq))


def _find(connection: sqlite3.Connection, stream: str, project_id: str) -> tuple[int, int, int]:
    """The stream's id, last seq and floor."""
    row: tuple[int, int, int] | None = connection.execute(
        "SELECT stream_id, last_seq, floor_seq FROM streams WHERE stream = ? AND project_id = ?", (stream, project_id)
    ).fetchone()
    if row is None:
        raise SessionNotFound("This project has no such stream of events. It may have been deleted because of its age.")
    return row
