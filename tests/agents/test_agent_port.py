"""What every agent behind the port does: the real CLI, and the scripted one that stands in for it in tests."""

import asyncio
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import pytest

from host.agents.port import Agent, PromptAnswer, Turn, TurnOrder
from host.protocol.errors import Unsupported
from host.protocol.messages.agent_events import AgentEvent, PromptAsked, PromptResolved, Text, TurnBegan, TurnDone
from host.protocol.messages.agents import AgentOptions
from tests.agents.claude.claude_rig import ClaudeRig
from tests.support.messages_api import MessagesApi, bash, says
from tests.support.scripted_agent import ScriptedAgent

pytestmark = [pytest.mark.slow, pytest.mark.parametrize("kind", ["scripted", "claude"])]

TIMEOUT_S: Final = 40.0
SPEAKS: Final = "say hello"
ASKS: Final = "ask Bash"
HOLDS: Final = "hold"
ALLOW: Final = PromptAnswer("allow")


@dataclass
class World:
    """An agent that does what the three messages say. ``is_begun``: a turn was completed."""

    agent: Agent
    root: Path
    session_id: str
    is_begun: bool = False

    def order(self, content: str, *, allowed: tuple[str, ...] = ()) -> TurnOrder:
        return TurnOrder(
            agent_session_id=self.session_id,
            turn_id=str(uuid.uuid4()),
            content=content,
            options=AgentOptions(),
            is_first=not self.is_begun,
            root=self.root,
            allowed=allowed,
        )


@asynccontextmanager
async def world_of(kind: str, directory: Path) -> AsyncIterator[World]:
    session_id = str(uuid.uuid4())
    if kind == "scripted":
        yield World(ScriptedAgent(), directory, session_id)
        return
    async with MessagesApi.serve() as api, ClaudeRig.with_claude(directory, api.url) as rig:
        api.script(SPEAKS, *(says("hello") for _ in range(2)))
        for _ in range(2):
            api.script(ASKS, says(bash("touch made")), says("After it."))
        api.script(HOLDS, says("", hangs=True))
        yield World(rig.agent, rig.root, session_id)


@pytest.fixture
async def world(kind: str, tmp_path: Path) -> AsyncIterator[World]:
    async with asyncio.timeout(TIMEOUT_S), world_of(kind, tmp_path) as world:
        yield world


async def rest_of(turn: Turn) -> list[AgentEvent]:
    return [event async for event in turn]


def kinds(events: list[AgentEvent]) -> list[type[AgentEvent]]:
    return [type(event) for event in events]


def reason_of(events: list[AgentEvent]) -> str:
    """How the turn ended: by one TurnDone, the last of all."""
    (done,) = [event for event in events if isinstance(event, TurnDone)]
    assert events[-1] is done
    assert done.duration_ms >= 0
    assert (done.cancelled is True) == (done.reason == "cancelled")
    return done.reason


async def test_a_turn_begins_speaks_and_ends_once_and_the_next_goes_on(world: World) -> None:
    for _ in range(2):
        async with await world.agent.start(world.order(SPEAKS)) as turn:
            events = await rest_of(turn)
        world.is_begun = True
        assert reason_of(events) == "completed"
        assert TurnBegan in kinds(events)
        assert [event.text for event in events if isinstance(event, Text)] == ["hello"]


async def test_an_answer_lets_it_go_on(world: World) -> None:
    events: list[AgentEvent] = []
    async with await world.agent.start(world.order(ASKS)) as turn:
        async for event in turn:
            events.append(event)
            if isinstance(event, PromptAsked):
                assert (event.kind, event.tool) == ("permission", "Bash")
                await turn.answer(event.prompt_id, ALLOW)
                await turn.answer(event.prompt_id, ALLOW)
                await turn.answer("never asked", ALLOW)
    assert reason_of(events) == "completed"
    assert len([event for event in events if isinstance(event, PromptAsked)]) == 1


async def test_what_is_always_allowed_is_said_in_words_that_an_order_takes(world: World) -> None:
    async with await world.agent.start(world.order(ASKS)) as turn:
        async for event in turn:
            if isinstance(event, PromptAsked):
                rules = tuple(world.agent.rules_of(event.suggestions))
                await turn.answer(event.prompt_id, PromptAnswer("allow_always"))
    world.is_begun = True
    assert rules
    assert all(isinstance(rule, str) for rule in rules)
    async with await world.agent.start(world.order(SPEAKS, allowed=rules)) as turn:
        assert reason_of(await rest_of(turn)) == "completed"


async def test_a_cancelled_turn_ends_soon_also_while_it_asks(world: World) -> None:
    for content in (HOLDS, ASKS):
        events: list[AgentEvent] = []
        async with await world.agent.start(world.order(content)) as turn:
            async for event in turn:
                events.append(event)
                if isinstance(event, PromptAsked if content == ASKS else TurnBegan):
                    turn.cancel()
                    turn.cancel()
        assert reason_of(events) == "cancelled"
        asked = [event.prompt_id for event in events if isinstance(event, PromptAsked)]
        assert [event.prompt_id for event in events if isinstance(event, PromptResolved)] in ([], asked)


async def test_a_turn_that_is_left_in_the_middle_is_over(world: World) -> None:
    async with await world.agent.start(world.order(HOLDS)) as turn:
        async for event in turn:
            if isinstance(event, TurnBegan):
                break
    async with await world.agent.start(world.order(SPEAKS)) as turn:
        assert reason_of(await rest_of(turn)) == "completed"


async def test_a_turn_is_cancelled_before_it_says_anything(world: World) -> None:
    async with await world.agent.start(world.order(HOLDS)) as turn:
        turn.cancel()
        assert reason_of(await rest_of(turn)) == "cancelled"


async def test_what_this_host_does_not_allow_is_refused_before_a_turn(world: World) -> None:
    world.agent.require_supported(AgentOptions(model="any", permission_mode="plan"))
    with pytest.raises(Unsupported):
        world.agent.require_supported(AgentOptions(permission_mode="bypassPermissions"))


async def test_what_it_offers_can_be_told(world: World) -> None:
    offer = await world.agent.capabilities(world.root)
    assert offer.agent == world.agent.name == "claude"
    assert offer.version
    assert "default" in offer.permission_modes
