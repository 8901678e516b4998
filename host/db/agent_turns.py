"""The ``agent_turns`` table, a queue for each session: functions of a connection."""

import sqlite3
from dataclasses import dataclass
from typing import Final, Literal

TurnState = Literal["waiting", "running", "done"]

_OLDEST_WAITING: Final = (
    "SELECT turn_id, content, options FROM agent_turns WHERE stream_id = ? AND state = 'waiting' ORDER BY place LIMIT 1"
)


@dataclass(frozen=True, slots=True)
class WaitingTurn:
    """``content`` is JSON, as it was sent; ``options`` is JSON of what its message changes."""

    turn_id: str
    content: bytes
    options: str


@dataclass(frozen=True, slots=True)
class CutOffTurn:
    """A turn that was running when the daemon ended. ``started_at`` is RFC 3339 UTC."""

    stream_id: int
    turn_id: str
    started_at: str


def add_turn(connection: sqlite3.Connection, stream_id: int, turn: WaitingTurn) -> None:
    """At the end of the session's queue."""
    connection.execute(
        "INSERT INTO agent_turns (stream_id, turn_id, content, options) VALUES (?, ?, ?, ?)",
        (stream_id, turn.turn_id, turn.content, turn.options),
    )


def unfinished_turns(connection: sqlite3.Connection, stream_id: int) -> int:
    """How many turns of the session wait or run."""
    (count,) = connection.execute(
        "SELECT count(*) FROM agent_turns WHERE stream_id = ? AND state IN ('waiting', 'running')", (stream_id,)
    ).fetchone()
    return int(count)


def waiting_turns(connection: sqlite3.Connection, stream_id: int) -> list[str]:
    """The ids of the turns that wait, the next one first."""
    rows = connection.execute(
        "SELECT turn_id FROM agent_turns WHERE stream_id = ? AND state = 'waiting' ORDER BY place", (stream_id,)
    )
    return [turn_id for (turn_id,) in rows]


def running_turn(connection: sqlite3.Connection, stream_id: int) -> str | None:
    """The id of the session's turn that runs."""
    row: tuple[str] | None = connection.execute(
        "SELECT turn_id FROM agent_turns WHERE stream_id = ? AND state = 'running'", (stream_id,)
    ).fetchone()
    return None if row is None else row[0]


def state_of_turn(connection: sqlite3.Connection, stream_id: int, turn_id: str) -> TurnState | None:
    """None for no turn of this session."""
    row: tuple[TurnState] | None = connection.execute(
        "SELECT state FROM agent_turns WHERE turn_id = ? AND stream_id = ?", (turn_id, stream_id)
    ).fetchone()
    return None if row is None else row[0]


def next_turn(connection: sqlite3.Connection, stream_id: int) -> WaitingTurn | None:
    """The one that waits longest."""
    row = connection.execute(_OLDEST_WAITING, (stream_id,)).fetchone()
    return None if row is None else WaitingTurn(*row)


def start_turn(connection: sqlite3.Connection, turn_id: str, at: str) -> None:
    """A waiting turn runs. Raises sqlite3.IntegrityError while another one of its session does."""
    connection.execute(
        "UPDATE agent_turns SET state = 'running', started_at = ? WHERE turn_id = ? AND state = 'waiting'",
        (at, turn_id),
    )


def end_turn(connection: sqlite3.Connection, turn_id: str, at: str) -> None:
    """Raises LookupError for a turn that has ended, so that none ends twice."""
    ended = connection.execute(
        "UPDATE agent_turns SET state = 'done', ended_at = ?, content = NULL, options = NULL "
        "WHERE turn_id = ? AND state != 'done'",
        (at, turn_id),
    ).rowcount
    if ended != 1:
        raise LookupError("A turn was ended that waits no more and does not run.")


def cut_off_turns(connection: sqlite3.Connection) -> list[CutOffTurn]:
    """At start: what was running when the daemon ended."""
    rows = connection.execute("SELECT stream_id, turn_id, started_at FROM agent_turns WHERE state = 'running'")
    return [CutOffTurn(*row) for row in rows]


def queued_sessions(connection: sqlite3.Connection) -> list[str]:
    """The ids of the sessions in which turns wait, the one that waits longest first."""
    rows = connection.execute(
        "SELECT agent_session_id FROM agent_turns JOIN agent_sessions USING (stream_id) "
        "WHERE state = 'waiting' GROUP BY stream_id ORDER BY min(place)"
    )
    return [agent_session_id for (agent_session_id,) in rows]


def delete_ended_turns(connection: sqlite3.Connection, oldest_kept: str) -> None:
    """With their prompts, those that ended before that time, RFC 3339 UTC. Their events are the log's matter."""
    connection.execute("DELETE FROM agent_turns WHERE ended_at < ?", (oldest_kept,))
