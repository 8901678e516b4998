"""Sessions: begun, given messages, cancelled and listed. What is accepted is in the database with its answer."""

import asyncio
import sqlite3
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol
from uuid import uuid4
from weakref import WeakValueDictionary

from host.agents.content import Message, message_of
from host.agents.journal import Journal
from host.agents.listing import page_of
from host.agents.options import changes_of, real_directories
from host.agents.port import Agent, agent_of
from host.agents.record import CANCELLED, accept, finish
from host.agents.terminal import TerminalSession, TerminalSessions
from host.agents.turns import Projects, Turns, refuse_busy
from host.core.requests import RequestContext, ResponseT
from host.db.agent_sessions import (
    NewSession,
    StoredSession,
    add_session,
    find_session,
    list_sessions,
    no_session,
    stream_name,
)
from host.db.agent_turns import WaitingTurn, running_turn, state_of_turn, waiting_turns
from host.protocol.errors import SessionNotFound
from host.protocol.messages.agent_events import AgentEvent
from host.protocol.messages.agents import (
    AgentCancel,
    AgentCancelResponse,
    AgentMessage,
    AgentMessageResponse,
    AgentOptions,
    AgentSessionNew,
    AgentSessionNewResponse,
    AgentSessionsList,
    AgentSessionsListResponse,
)

_Told = tuple[StoredSession, list[AgentEvent]]


def new_uuid() -> str:
    """A lower-case UUIDv4."""
    return str(uuid4())


class History(Protocol):
    async def prepare(self, stream: str, project_id: str) -> None:
        """What was done elsewhere, in a terminal, is in the stream: what is logged next comes behind it."""


@dataclass(frozen=True)
class Sessions:
    """The agents' sessions of all projects; those from terminals are adopted with the first message to them."""

    journal: Journal
    agents: Mapping[str, Agent]
    projects: Projects
    terminal: TerminalSessions
    history: History
    turns: Turns
    new_id: Callable[[], str] = new_uuid
    # Kept by those that hold or await them.
    _orders: WeakValueDictionary[str, asyncio.Lock] = field(default_factory=WeakValueDictionary)

    async def begin(self, request: AgentSessionNew, context: RequestContext) -> AgentSessionNewResponse:
        """A new session with its first turn. Raises a ProtocolError before any effect."""
        root = await self._root(context)
        message, turn = await self._turn(request.agent, request, root)
        agent_session_id, at = self.new_id(), self.journal.now()
        new = NewSession(agent_session_id, context.project_id, request.agent, message.title, at)

        def job(connection: sqlite3.Connection, is_served: bool) -> tuple[AgentSessionNewResponse, _Told]:
            session = add_session(connection, new)
            _, events = accept(connection, session, turn, message.said, is_served=is_served, at=at)
            return AgentSessionNewResponse(agent_session_id=agent_session_id, turn_id=turn.turn_id), (session, events)

        return await self._accept(agent_session_id, context, job)

    async def send(self, request: AgentMessage, context: RequestContext) -> AgentMessageResponse:
        """One more turn, at the end of the session's queue. Raises a ProtocolError before any effect."""
        async with self._in_order(request.agent_session_id):
            return await self._send(request, context)

    async def _send(self, request: AgentMessage, context: RequestContext) -> AgentMessageResponse:
        root = await self._root(context)
        agent_session_id, project_id = request.agent_session_id, context.project_id
        stored = await self.terminal.find(root, agent_session_id)
        known = await self.journal.database.read(
            lambda connection: find_session(connection, project_id, agent_session_id)
        )
        agent = known or stored
        if agent is None:
            raise no_session()
        message, turn = await self._turn(agent.agent, request, root)
        refuse_busy(stored)
        await self.history.prepare(stream_name(agent_session_id), project_id)

        def job(connection: sqlite3.Connection, is_served: bool) -> tuple[AgentMessageResponse, _Told]:
            session = _session(connection, project_id, agent_session_id, stored)
            position, events = accept(
                connection, session, turn, message.said, is_served=is_served, at=self.journal.now()
            )
            response = AgentMessageResponse(turn_id=turn.turn_id, queued=position > 0, position=position)
            return response, (session, events)

        return await self._accept(agent_session_id, context, job)

    async def cancel(self, request: AgentCancel, context: RequestContext) -> AgentCancelResponse:
        """Take turns out of the queue, and end the one that runs.

        Raises SessionNotFound, also for an unknown turn, and Conflict where a terminal runs what was to be cancelled.
        """
        async with self._in_order(request.agent_session_id):
            return await self._cancel(request, context)

    async def _cancel(self, request: AgentCancel, context: RequestContext) -> AgentCancelResponse:
        root = await self.projects.root_of(context.project_id)
        is_ours = request.turn_id is not None or self.turns.running(request.agent_session_id) is not None
        stored = None if is_ours else await self.terminal.find(root, request.agent_session_id)

        def job(connection: sqlite3.Connection) -> tuple[AgentCancelResponse, tuple[_Told, str | None] | None]:
            session = find_session(connection, context.project_id, request.agent_session_id)
            if session is None:
                if stored is None:
                    raise no_session()
                # It was never ours, so nothing of ours runs or waits.
                refuse_busy(stored)
                return AgentCancelResponse(), None
            waiting, running = _cancelled(connection, session, request.turn_id)
            if not waiting and running is None:
                refuse_busy(stored)
            at = self.journal.now()
            events = [event for turn in waiting for event in finish(connection, session, turn, CANCELLED, at=at)]
            return AgentCancelResponse(), ((session, events), running)

        response, effect = await context.commit(job)
        if effect is None:
            return response
        cancelled, running = effect
        self.journal.tell(*cancelled)
        turn = self.turns.running(request.agent_session_id)
        if turn is not None and turn.turn_id == running:
            turn.cancel()
        return response

    async def list(self, request: AgentSessionsList, context: RequestContext) -> AgentSessionsListResponse:
        """A page of a project's sessions. Raises SessionNotFound if ``before`` is none of them."""
        root = await self.projects.root_of(context.project_id)
        ours = await self.journal.database.read(lambda connection: list_sessions(connection, context.project_id))
        terminal = await self.terminal.list(root)
        return page_of(ours, terminal, limit=request.limit, before=request.before)

    def _in_order(self, agent_session_id: str) -> asyncio.Lock:
        """What a session is sent is accepted in the order in which it came, however long each part of it takes."""
        return self._orders.setdefault(agent_session_id, asyncio.Lock())

    async def _accept(
        self,
        agent_session_id: str,
        context: RequestContext,
        job: Callable[[sqlite3.Connection, bool], tuple[ResponseT, _Told]],
    ) -> ResponseT:
        """Commit a turn and see to it that it runs. ``job`` is told whether the session's next turn runs at once."""
        is_served = self.turns.claim(agent_session_id)
        try:
            response, accepted = await context.commit(lambda connection: job(connection, is_served))
            self.journal.tell(*accepted)
        finally:
            self.turns.wake(agent_session_id)
        return response

    async def _root(self, context: RequestContext) -> Path:
        await self.projects.require_root(context.project_id)
        return await self.projects.root_of(context.project_id)

    async def _turn(
        self, agent: str, request: AgentSessionNew | AgentMessage, root: Path
    ) -> tuple[Message, WaitingTurn]:
        """What the request asks for. Raises a ProtocolError, of several the first in the contract's precedence."""
        options = request.options or AgentOptions()
        agent_of(self.agents, agent).require_supported(options)
        message = await asyncio.to_thread(message_of, request.content)
        if options.add_dirs:
            roots = [project.path for project in self.projects.all()]
            real = await asyncio.to_thread(real_directories, root, options.add_dirs, roots)
            options = options.model_copy(update={"add_dirs": real})
        return message, WaitingTurn(self.new_id(), message.content, changes_of(options))


def _session(
    connection: sqlite3.Connection, project_id: str, agent_session_id: str, stored: TerminalSession | None
) -> StoredSession:
    """The session, adopted if it is only in the agent's own store."""
    session = find_session(connection, project_id, agent_session_id)
    if session is not None:
        return session
    if stored is None:
        raise no_session()
    return add_session(
        connection,
        NewSession(
            agent_session_id,
            project_id,
            stored.agent,
            stored.title,
            stored.created_at,
            source="terminal",
            message_count=stored.message_count,
        ),
    )


def _cancelled(
    connection: sqlite3.Connection, session: StoredSession, turn_id: str | None
) -> tuple[list[str], str | None]:
    """The waiting turns, and the running one, that are to be cancelled."""
    if turn_id is None:
        return waiting_turns(connection, session.stream_id), running_turn(connection, session.stream_id)
    match state_of_turn(connection, session.stream_id, turn_id):
        case None:
            raise SessionNotFound("The session has no such turn. It may have been deleted because of its age.")
        case "waiting":
            return [turn_id], None
        case "running":
            return [], turn_id
        case "done":
            return [], None
