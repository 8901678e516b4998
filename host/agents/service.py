"""The feature put together: what the daemon needs of it besides its handlers."""

import asyncio
import logging
from collections.abc import Sequence
from functools import partial

from host.agents.handlers import AgentHandlers
from host.agents.journal import Journal
from host.agents.port import Agent
from host.agents.prompts import Prompts
from host.agents.record import interrupt_cut_off
from host.agents.sessions import History, Sessions
from host.agents.terminal import TerminalSessions
from host.agents.turns import Projects, Turns
from host.core.publishing import Publish
from host.core.requests import RouteTable
from host.db.agent_sessions import gone_streams
from host.db.database import Database
from host.db.event_log import delete_stream
from host.protocol.limits import MAX_TURNS_AT_ONCE

logger = logging.getLogger(__name__)


class AgentService:
    """Settled once, then registered and run, and closed at the end."""

    def __init__(
        self,
        database: Database,
        publish: Publish,
        projects: Projects,
        agents: Sequence[Agent],
        terminal: TerminalSessions,
        history: History,
        max_at_once: int = MAX_TURNS_AT_ONCE,
    ) -> None:
        self._database = database
        self._journal = Journal(database, publish)
        self._projects_changed = asyncio.Event()
        by_name = {agent.name: agent for agent in agents}
        self._turns = Turns(self._journal, by_name, projects, terminal, max_at_once)
        sessions = Sessions(self._journal, by_name, projects, terminal, history, self._turns)
        prompts = Prompts(self._journal, projects, self._turns)
        self._handlers = AgentHandlers(by_name, sessions, prompts, projects)

    @property
    def running_count(self) -> int:
        """How many turns run, and wait for nobody."""
        return self._turns.running_count

    @property
    def waiting_count(self) -> int:
        """How many wait for an answer."""
        return self._turns.waiting_count

    @property
    def prompt_count(self) -> int:
        """How many answers are waited for."""
        return self._turns.prompt_count

    @property
    def waiting_sessions(self) -> int:
        """How many sessions have a message for which no agent is free."""
        return self._turns.waiting_sessions

    def register(self, table: RouteTable) -> None:
        self._handlers.register(table)

    async def settle(self) -> None:
        """At start: what was running when the daemon ended is ``interrupted``, and removed projects leave nothing."""
        count = await self._database.write(partial(interrupt_cut_off, at=self._journal.now()))
        if count:
            logger.warning("Turns of an agent were cut off when the daemon last ended: %d", count)
        await self._clear_up()

    async def run(self) -> None:
        """Go on with what waits in the database, and clear up after projects that are removed. Runs for ever."""
        await self._turns.resume()
        while True:
            await self._projects_changed.wait()
            self._projects_changed.clear()
            try:
                await self._clear_up()
            except Exception:
                # A full disk must not end the daemon; the next change or start tries again.
                logger.exception("The sessions of a removed project could not be deleted")

    def projects_changed(self) -> None:
        self._projects_changed.set()

    async def wind_down(self) -> None:
        """Begin no turn any more, and wait for those that can end without an answer from somebody."""
        await self._turns.wind_down()

    async def close(self) -> None:
        """End what runs, ``interrupted``; what waits goes on at the next start."""
        await self._turns.close()

    async def _clear_up(self) -> None:
        await self._turns.end_removed()
        for stream_id in await self._database.read(gone_streams):
            await self._database.write(partial(delete_stream, stream_id=stream_id))
