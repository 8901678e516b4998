"""Turns of all sessions: one at a time in each, a few at once on the machine, every one to its end."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Protocol

from host.agents.content import content_of
from host.agents.journal import Journal
from host.agents.options import options_of, real_directories
from host.agents.port import Agent, TurnOrder
from host.agents.record import TakenTurn, take
from host.agents.running_turn import RunningTurn
from host.agents.terminal import TerminalSession, TerminalSessions
from host.agents.workers import Workers
from host.db.agent_turns import queued_sessions
from host.db.errors import DatabaseError
from host.db.projects import Project
from host.protocol.errors import Conflict
from host.protocol.limits import MAX_TURNS_AT_ONCE

logger = logging.getLogger(__name__)

RETRY_INTERVAL_S: Final = 5.0
# To end every process of a turn, by force if need be, and to log that.
_INTERRUPT_LIMIT_S: Final = 15.0


class Projects(Protocol):
    """What turns need to know of projects."""

    async def require_root(self, project_id: str) -> None:
        """Raises ProjectNotFound, or ProjectRootGone when its directory is not there."""

    async def root_of(self, project_id: str) -> Path:
        """The absolute root directory. Raises ProjectNotFound."""
        ...

    def all(self) -> list[Project]:
        """Every project."""
        ...


@dataclass
class Turns:
    """``claim`` and ``wake`` are the workers': see there."""

    journal: Journal
    agents: Mapping[str, Agent]
    projects: Projects
    terminal: TerminalSessions
    max_at_once: int = MAX_TURNS_AT_ONCE
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
    _running: dict[str, RunningTurn] = field(default_factory=dict)
    # Sessions whose next turn is being taken; set once it runs, or there is none.
    _beginning: dict[str, asyncio.Event] = field(default_factory=dict)
    _is_closing: bool = False

    def __post_init__(self) -> None:
        self._workers = Workers(self._run_next, self.max_at_once)
        self.claim = self._workers.claim
        self.wake = self._workers.wake

    @property
    def running_count(self) -> int:
        """How many turns run, and wait for nobody."""
        return len(self._running) - self.waiting_count

    @property
    def waiting_count(self) -> int:
        """How many wait for an answer."""
        return sum(turn.prompt_count > 0 for turn in self._running.values())

    @property
    def prompt_count(self) -> int:
        """How many answers are waited for."""
        return sum(turn.prompt_count for turn in self._running.values())

    @property
    def waiting_sessions(self) -> int:
        """How many sessions have a message for which no agent is free."""
        return self._workers.waiting_count

    def running(self, agent_session_id: str) -> RunningTurn | None:
        return self._running.get(agent_session_id)

    async def resume(self) -> None:
        """Go on with what waits in the database."""
        for agent_session_id in await self._queued():
            self.wake(agent_session_id)

    async def end_removed(self) -> None:
        """Cancel what runs in projects that are not registered any more, and wait for its end."""
        known = {project.project_id for project in self.projects.all()}
        removed = [turn for turn in self._running.values() if turn.taken.session.project_id not in known]
        for turn in removed:
            turn.cancel()
        for turn in removed:
            await turn.ended.wait()

    async def wind_down(self) -> None:
        """Begin no turn any more, and wait for those that can end without an answer from somebody."""
        self._workers.stop()
        for begun in tuple(self._beginning.values()):
            await begun.wait()
        while busy := [turn for turn in self._running.values() if not turn.rests.is_set()]:
            await busy[0].rests.wait()

    async def close(self) -> None:
        """End what runs, ``interrupted``; what waits goes on at the next start."""
        self._is_closing = True
        self._workers.stop()
        for turn in self._running.values():
            turn.interrupt()
        try:
            async with asyncio.timeout(_INTERRUPT_LIMIT_S):
                await self._workers.finished()
        except TimeoutError:
            logger.warning("Turns of an agent did not end in time; the next start says that they were interrupted")
        await self._workers.cancel()

    async def _queued(self) -> list[str]:
        while True:
            try:
                return await self.journal.database.read(queued_sessions)
            except DatabaseError as exc:
                logger.error("What waits could not be looked up; trying again. %s", exc.message)
                await self.sleep(RETRY_INTERVAL_S)

    async def _run_next(self, agent_session_id: str) -> bool:
        """Run the session's next turn to its end; whether there was one."""
        begun = self._beginning[agent_session_id] = asyncio.Event()
        try:
            turn = await self._begin_next(agent_session_id)
        except DatabaseError as exc:
            logger.error("A session's next turn could not be begun; trying again. %s", exc.message)
            await self.sleep(RETRY_INTERVAL_S)
            return True
        finally:
            del self._beginning[agent_session_id]
            begun.set()
        if turn is None:
            return False
        try:
            await turn.go()
        finally:
            del self._running[agent_session_id]
        return True

    async def _begin_next(self, agent_session_id: str) -> RunningTurn | None:
        taken = await self.journal.database.write(
            lambda connection: take(connection, agent_session_id, self.journal.now())
        )
        if taken is None:
            return None
        # Nothing is awaited in between, so that whoever learns from the database that it runs finds it here.
        turn = RunningTurn(taken, self.agents[taken.session.agent], self.journal, self._order, self.sleep)
        self._running[agent_session_id] = turn
        if self._is_closing:
            turn.interrupt()
        return turn

    async def _order(self, taken: TakenTurn) -> TurnOrder:
        """Raises a ProtocolError for what has changed since the message was accepted, so that it can't be run."""
        session = taken.session
        await self.projects.require_root(session.project_id)
        root = await self.projects.root_of(session.project_id)
        stored = await self.terminal.find(root, session.agent_session_id)
        refuse_busy(stored)
        options = options_of(taken.options)
        if options.add_dirs:
            roots = [project.path for project in self.projects.all()]
            await asyncio.to_thread(real_directories, root, options.add_dirs, roots)
        return TurnOrder(
            agent_session_id=session.agent_session_id,
            turn_id=taken.turn_id,
            content=await asyncio.to_thread(content_of, taken.content),
            options=options,
            # The agent knows it once it has begun, whatever became of its turns.
            is_first=not session.is_begun and stored is None,
            root=root,
            allowed=taken.rules,
        )


def refuse_busy(session: TerminalSession | None) -> None:
    """Raises Conflict for a session that somebody works on in a terminal: two at once would lose what one did."""
    if session is not None and session.busy_in is not None:
        raise Conflict(f"The session runs in {session.busy_in}. Go on there, or end there what it does and try again.")
