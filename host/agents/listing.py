"""One list of the sessions that we know and those that the agent's own store knows. Pure."""

from collections.abc import Iterable, Sequence

from msgspec.structs import replace

from host.agents.terminal import TerminalSession
from host.db.agent_sessions import no_session
from host.protocol.messages.agents import AgentSession, AgentSessionsListResponse


def page_of(
    ours: Iterable[AgentSession], stored: Iterable[TerminalSession], *, limit: int, before: str | None
) -> AgentSessionsListResponse:
    """At most ``limit`` sessions, last activity first, behind the session ``before``.

    Raises SessionNotFound if that is none of them.
    """
    sessions = sorted(_together(ours, stored), key=_order, reverse=True)
    start = 0 if before is None else _place_of(before, sessions) + 1
    return AgentSessionsListResponse(sessions=sessions[start : start + limit], more=start + limit < len(sessions))


def _together(ours: Iterable[AgentSession], stored: Iterable[TerminalSession]) -> list[AgentSession]:
    by_id = {session.agent_session_id: session for session in ours}
    for session in stored:
        known = by_id.get(session.agent_session_id)
        by_id[session.agent_session_id] = _from_store(session) if known is None else _refreshed(known, session)
    return list(by_id.values())


def _from_store(session: TerminalSession) -> AgentSession:
    return AgentSession(
        agent_session_id=session.agent_session_id,
        agent=session.agent,
        title=session.title,
        created_at=session.created_at,
        last_activity_at=session.last_activity_at,
        message_count=session.message_count,
        state="running" if session.busy_in else "idle",
        source="terminal",
    )


def _refreshed(known: AgentSession, stored: TerminalSession) -> AgentSession:
    """The store also knows what was done in a terminal since, and the name that the user sees there."""
    return replace(
        known,
        title=stored.title or known.title,
        last_activity_at=max(known.last_activity_at, stored.last_activity_at),
        message_count=max(known.message_count, stored.message_count),
        state="running" if stored.busy_in and known.state == "idle" else known.state,
    )


def _order(session: AgentSession) -> tuple[str, str]:
    return session.last_activity_at, session.agent_session_id


def _place_of(agent_session_id: str, sessions: Sequence[AgentSession]) -> int:
    for place, session in enumerate(sessions):
        if session.agent_session_id == agent_session_id:
            return place
    raise no_session()
