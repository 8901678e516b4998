"""The ``agent_imports`` table, how far transcripts were read: functions of a connection."""

import sqlite3
from collections.abc import Sequence

from msgspec.structs import replace

from host.db.agent_sessions import stream_name
from host.db.event_log import NewEvent, append, open_stream
from host.protocol.messages.agent_events import AgentEvent


def import_position(connection: sqlite3.Connection, agent_session_id: str) -> bytes:
    """Where the next part begins, in the agent's own words; empty where none was read."""
    row = connection.execute(
        "SELECT position FROM agent_imports JOIN streams USING (stream_id) WHERE stream = ?",
        (stream_name(agent_session_id),),
    ).fetchone()
    return row[0] if row else b""


def is_driven(connection: sqlite3.Connection, agent_session_id: str) -> bool:
    """Whether this daemon has given turns to the session, which are in the log as they happened."""
    query = "SELECT 1 FROM agent_sessions WHERE agent_session_id = ?"
    return connection.execute(query, (agent_session_id,)).fetchone() is not None


def import_events(
    connection: sqlite3.Connection,
    project_id: str,
    agent_session_id: str,
    events: Sequence[AgentEvent],
    *,
    position: bytes,
    at: str,
) -> None:
    """Log events whose ids and times are known, and that what is before ``position`` was read.

    Raises SessionNotFound if the session's stream is another project's.
    """
    stream_id = open_stream(connection, stream_name(agent_session_id), project_id)
    append(connection, stream_id, [_new_event(event) for event in events], at)
    connection.execute(
        "INSERT INTO agent_imports (stream_id, position) VALUES (?, ?) "
        "ON CONFLICT (stream_id) DO UPDATE SET position = excluded.position",
        (stream_id, position),
    )


def _new_event(event: AgentEvent) -> NewEvent[AgentEvent]:
    # The payload has the time at which it happened, the row that at which it came to the log.
    return NewEvent(str(type(event).__struct_config__.tag), lambda seq, _: replace(event, seq=seq))
