"""The ``agent_sessions`` table and the log of each session: functions of a connection."""

import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from msgspec.structs import replace

from host.db.event_log import NewEvent, append, open_stream
from host.protocol.errors import SessionNotFound
from host.protocol.messages.agent_events import AgentEvent, Text, UserSaid
from host.protocol.messages.agents import AgentSession, SessionSource

_SELECT: Final = (
    "SELECT stream_id, project_id, agent_session_id, agent, title, options, is_begun "
    "FROM agent_sessions JOIN streams USING (stream_id)"
)
# The sessions come first: there are fewer of them than of streams.
_LIST: Final = """
    SELECT agent_session_id, agent, title, created_at, last_activity_at, message_count, source,
        (SELECT max(state = 'running') FROM agent_turns
            WHERE agent_turns.stream_id = agent_sessions.stream_id AND state IN ('waiting', 'running')) AS runs,
        EXISTS (SELECT 1 FROM agent_prompts
            WHERE agent_prompts.stream_id = agent_sessions.stream_id AND decision IS NULL) AS asks
    FROM agent_sessions CROSS JOIN streams USING (stream_id) WHERE project_id = ?
"""


@dataclass(frozen=True, slots=True)
class StoredSession:
    """A session as the database has it. ``options`` is JSON; ``is_begun``: a turn of it was completed."""

    stream_id: int
    project_id: str
    agent_session_id: str
    agent: str
    title: str
    options: str
    is_begun: bool


@dataclass(frozen=True, slots=True)
class NewSession:
    agent_session_id: str
    project_id: str
    agent: str
    title: str
    created_at: str
    source: SessionSource = "pocketcoder"
    message_count: int = 0


def add_session(connection: sqlite3.Connection, new: NewSession) -> StoredSession:
    """Raises SessionNotFound if the id's stream is another project's, sqlite3.IntegrityError if the session is there.

    One from a terminal is begun.
    """
    stream_id = open_stream(connection, stream_name(new.agent_session_id), new.project_id)
    is_begun = new.source == "terminal"
    connection.execute(
        "INSERT INTO agent_sessions (stream_id, agent_session_id, agent, source, title, is_begun, message_count, "
        "created_at, last_activity_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (
            stream_id,
            new.agent_session_id,
            new.agent,
            new.source,
            new.title,
            is_begun,
            new.message_count,
            new.created_at,
            new.created_at,
        ),
    )
    return StoredSession(stream_id, new.project_id, new.agent_session_id, new.agent, new.title, "{}", is_begun)


def session_of_id(connection: sqlite3.Connection, agent_session_id: str) -> StoredSession | None:
    """None for an unknown session."""
    return _session(connection.execute(f"{_SELECT} WHERE agent_session_id = ?", (agent_session_id,)))


def find_session(connection: sqlite3.Connection, project_id: str, agent_session_id: str) -> StoredSession | None:
    """None for an unknown session, and for another project's."""
    session = session_of_id(connection, agent_session_id)
    return session if session is not None and session.project_id == project_id else None


def get_session(connection: sqlite3.Connection, project_id: str, agent_session_id: str) -> StoredSession:
    """Raises SessionNotFound for an unknown session, and for another project's."""
    session = find_session(connection, project_id, agent_session_id)
    if session is None:
        raise no_session()
    return session


def session_of_stream(connection: sqlite3.Connection, stream_id: int) -> StoredSession:
    """Raises LookupError where there is none."""
    session = _session(connection.execute(f"{_SELECT} WHERE stream_id = ?", (stream_id,)))
    if session is None:
        raise LookupError("A stream was taken for a session's that is none.")
    return session


def list_sessions(connection: sqlite3.Connection, project_id: str) -> list[AgentSession]:
    """All sessions of a project, in no order."""
    return [_listed(*row) for row in connection.execute(_LIST, (project_id,))]


def set_options(connection: sqlite3.Connection, stream_id: int, options: str) -> None:
    connection.execute("UPDATE agent_sessions SET options = ? WHERE stream_id = ?", (options, stream_id))


def set_begun(connection: sqlite3.Connection, stream_id: int) -> None:
    connection.execute("UPDATE agent_sessions SET is_begun = 1 WHERE stream_id = ?", (stream_id,))


def log_events(
    connection: sqlite3.Connection, session: StoredSession, turn_id: str, events: Sequence[AgentEvent], at: str
) -> list[AgentEvent]:
    """Log what happened in a turn; returns the events as they are to be sent. ``at`` is RFC 3339 UTC."""
    messages = sum(isinstance(event, UserSaid | Text) for event in events)
    connection.execute(
        "UPDATE agent_sessions SET last_activity_at = ?, message_count = message_count + ? WHERE stream_id = ?",
        (at, messages, session.stream_id),
    )
    return append(
        connection, session.stream_id, [_new_event(event, session.agent_session_id, turn_id) for event in events], at
    )


def gone_streams(connection: sqlite3.Connection) -> list[int]:
    """The ids of the streams of sessions whose project was removed."""
    rows = connection.execute(
        "SELECT stream_id FROM streams WHERE stream >= 'agent:' AND stream < 'agent;' "
        "AND project_id NOT IN (SELECT project_id FROM projects)"
    )
    return [stream_id for (stream_id,) in rows]


def stream_name(agent_session_id: str) -> str:
    return f"agent:{agent_session_id}"


def no_session() -> SessionNotFound:
    return SessionNotFound("This project has no such session. Look at the list of its sessions.")


def _new_event(event: AgentEvent, agent_session_id: str, turn_id: str) -> NewEvent[AgentEvent]:
    return NewEvent(
        str(type(event).__struct_config__.tag),
        lambda seq, at: replace(event, agent_session_id=agent_session_id, turn_id=turn_id, seq=seq, at=at),
    )


def _session(rows: sqlite3.Cursor) -> StoredSession | None:
    row: tuple[Any, ...] | None = rows.fetchone()
    if row is None:
        return None
    stream_id, project_id, agent_session_id, agent, title, options, is_begun = row
    return StoredSession(stream_id, project_id, agent_session_id, agent, title, options, bool(is_begun))


def _listed(
    agent_session_id: str,
    agent: str,
    title: str,
    created_at: str,
    last_activity_at: str,
    message_count: int,
    source: SessionSource,
    runs: int | None,
    asks: int,
) -> AgentSession:
    """``runs`` is None where no turn waits or runs."""
    return AgentSession(
        agent_session_id=agent_session_id,
        agent=agent,
        title=title,
        created_at=created_at,
        last_activity_at=last_activity_at,
        message_count=message_count,
        state="idle" if runs is None else "queued" if not runs else "waiting" if asks else "running",
        source=source,
    )
