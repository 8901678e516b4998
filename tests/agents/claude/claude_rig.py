"""The adapter with a program of the test's choice in the place of the CLI, or the real one, in a home of its own."""

import asyncio
import uuid
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

from host.agents.claude.adapter import ClaudeAgent
from host.agents.claude.launcher import Launcher
from host.agents.port import PromptAnswer, TurnOrder
from host.processes.login_shell import UserEnvironment
from host.processes.runner import ProcessRunner
from host.protocol.messages.agent_events import AgentEvent, PromptAsked, TextDelta, TurnDone
from host.protocol.messages.agents import AgentOptions, Content
from tests.support.claude_cli import claude_environment, claude_executable
from tests.support.processes import no_process_left

ALLOW = PromptAnswer("allow")
Answer = Callable[[PromptAsked], PromptAnswer | None]
TURN_TIMEOUT_S = 40.0


@dataclass
class ClaudeRig:
    """One session in ``root``. Each turn is begun as the daemon would, and read to its end."""

    agent: ClaudeAgent
    root: Path
    session_id: str = field(default_factory=lambda: str(uuid.uuid4()))
    turns: int = 0

    @classmethod
    @asynccontextmanager
    async def with_program(cls, directory: Path, program: Path, variables: dict[str, str]) -> AsyncIterator[Self]:
        """Nothing that it ran may be there when it is left. ``HOME`` in ``variables`` lies in ``directory``."""
        root = directory / "project"
        root.mkdir()
        with no_process_left(directory):
            runner = ProcessRunner(grace_s=1.0, drain_s=0.3)
            environment: asyncio.Future[UserEnvironment] = asyncio.get_running_loop().create_future()
            environment.set_result(UserEnvironment(variables))
            yield cls(ClaudeAgent(Launcher(runner, environment, str(program))), root)
            await runner.close()

    @classmethod
    @asynccontextmanager
    async def with_claude(cls, directory: Path, api_url: str, **variables: str) -> AsyncIterator[Self]:
        home = directory / "home"
        home.mkdir()
        environment = claude_environment(home, api_url, **variables)
        async with cls.with_program(directory, claude_executable(), environment) as rig:
            yield rig

    def order(
        self, content: Content, *, allowed: Sequence[str] = (), turn_id: str | None = None, **options: Any
    ) -> TurnOrder:
        self.turns += 1
        return TurnOrder(
            agent_session_id=self.session_id,
            turn_id=turn_id or str(uuid.uuid4()),
            content=content,
            options=AgentOptions(**options),
            is_first=self.turns == 1,
            root=self.root,
            allowed=allowed,
        )

    async def run(
        self, order: TurnOrder, answer: Answer = lambda _: ALLOW, *, cancel_at: type[AgentEvent] | None = None
    ) -> list[AgentEvent]:
        """All that happened but the pieces of texts, which come whole, too.

        ``answer`` gives None to leave a prompt. At the first event of the type ``cancel_at`` the turn is cancelled.
        """
        events: list[AgentEvent] = []
        async with asyncio.timeout(TURN_TIMEOUT_S), await self.agent.start(order) as turn:
            async for event in turn:
                if not isinstance(event, TextDelta):
                    events.append(event)
                if isinstance(event, PromptAsked) and (given := answer(event)) is not None:
                    await turn.answer(event.prompt_id, given)
                if cancel_at is not None and isinstance(event, cancel_at):
                    turn.cancel()
        assert [event for event in events if isinstance(event, TurnDone)] == events[-1:]
        return events


def done_of(events: Sequence[AgentEvent]) -> TurnDone:
    done = events[-1]
    assert isinstance(done, TurnDone)
    return done
