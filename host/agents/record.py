"""What is written down of sessions and their turns: functions of a connection, each a whole step.

Each returns the events that it logged, as they are to be sent. ``at`` is RFC 3339 UTC.
"""

import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass

from msgspec import UNSET

from host.agents.options import merged
from host.core.clock import milliseconds_between
from host.db.agent_prompts import add_prompt, resolve_prompt, waiting_prompts_of
from host.db.agent_rules import rules_of
from host.db.agent_sessions import (
    StoredSession,
    log_events,
    session_of_id,
    session_of_stream,
    set_begun,
    set_options,
)
from host.db.agent_turns import (
    WaitingTurn,
    add_turn,
    cut_off_turns,
    end_turn,
    next_turn,
    start_turn,
    unfinished_turns,
)
from host.db.event_log import last_event_at
from host.db.projects import is_registered
from host.protocol.errors import DaemonBusy
from host.protocol.limits import MAX_QUEUED_TURNS
from host.protocol.messages.agent_events import AgentEvent, PromptAsked, PromptResolved, Queued, TurnDone, TurnError
from host.protocol.messages.agents import Resolution

CANCELLED = TurnDone(reason="cancelled", cancelled=True, duration_ms=0)


@dataclass(frozen=True, slots=True)
class TakenTurn:
    """A turn whose time has come. ``content`` and ``options`` are JSON; ``rules``: what was always allowed before."""

    session: StoredSession
    turn_id: str
    content: bytes
    options: str
    rules: Sequence[str]


def accept(
    connection: sqlite3.Connection,
    session: StoredSession,
    turn: WaitingTurn,
    said: AgentEvent,
    *,
    is_served: bool,
    at: str,
) -> tuple[int, list[AgentEvent]]:
    """The turn is at the end of the queue. Returns its position too: 0 for what runs at once.

    ``is_served``: the session's first turn runs, or will as soon as this is committed. Raises DaemonBusy if 50 wait.
    """
    position = unfinished_turns(connection, session.stream_id) + (0 if is_served else 1)
    if position > MAX_QUEUED_TURNS:
        raise DaemonBusy(f"{MAX_QUEUED_TURNS} messages wait in this session already. Wait for one, or cancel some.")
    add_turn(connection, session.stream_id, turn)
    events = [said, Queued(position=position)] if position else [said]
    return position, log_events(connection, session, turn.turn_id, events, at)


def take(connection: sqlite3.Connection, agent_session_id: str, at: str) -> TakenTurn | None:
    """The session's next turn is running, and its options hold. None where none waits, or the project is gone."""
    session = session_of_id(connection, agent_session_id)
    if session is None or not is_registered(connection, session.project_id):
        return None
    turn = next_turn(connection, session.stream_id)
    if turn is None:
        return None
    start_turn(connection, turn.turn_id, at)
    options = merged(session.options, turn.options)
    set_options(connection, session.stream_id, options)
    rules = rules_of(connection, session.project_id, session.agent)
    return TakenTurn(session, turn.turn_id, turn.content, options, rules)


def happened(
    connection: sqlite3.Connection, session: StoredSession, turn_id: str, event: AgentEvent, at: str
) -> list[AgentEvent]:
    """An event of a running turn is logged; a prompt waits from now on. What is resolved already is not again."""
    if isinstance(event, PromptAsked):
        add_prompt(connection, session.stream_id, turn_id, event, at)
    elif isinstance(event, PromptResolved):
        return resolve(connection, session, turn_id, event.prompt_id, event.decision, at=at)
    return log_events(connection, session, turn_id, [event], at)


def resolve(
    connection: sqlite3.Connection,
    session: StoredSession,
    turn_id: str,
    prompt_id: str,
    decision: Resolution,
    *,
    by: str | None = None,
    at: str,
) -> list[AgentEvent]:
    """The prompt has its decision, unless it had one."""
    if not resolve_prompt(connection, session.stream_id, prompt_id, decision):
        return []
    resolved = PromptResolved(prompt_id=prompt_id, decision=decision, by=UNSET if by is None else by)
    return log_events(connection, session, turn_id, [resolved], at)


def finish(
    connection: sqlite3.Connection,
    session: StoredSession,
    turn_id: str,
    done: TurnDone,
    *,
    failure: TurnError | None = None,
    at: str,
) -> list[AgentEvent]:
    """The turn has ended; what it asked waits no more. Raises LookupError for one that has ended already."""
    decision: Resolution = "interrupted" if done.reason == "interrupted" else "withdrawn"
    events: list[AgentEvent] = []
    for prompt_id in waiting_prompts_of(connection, turn_id):
        events += resolve(connection, session, turn_id, prompt_id, decision, at=at)
    events += log_events(connection, session, turn_id, [done] if failure is None else [failure, done], at)
    end_turn(connection, turn_id, at)
    if done.reason == "completed":
        set_begun(connection, session.stream_id)
    return events


def interrupt_cut_off(connection: sqlite3.Connection, at: str) -> int:
    """At start: what was running when the daemon ended has ended, up to its last sign of life. Returns how many."""
    turns = cut_off_turns(connection)
    for turn in turns:
        session = session_of_stream(connection, turn.stream_id)
        lived_ms = milliseconds_between(turn.started_at, last_event_at(connection, turn.stream_id) or turn.started_at)
        finish(connection, session, turn.turn_id, TurnDone(reason="interrupted", duration_ms=lived_ms), at=at)
    return len(turns)
