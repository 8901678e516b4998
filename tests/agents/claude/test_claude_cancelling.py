"""A turn of the real CLI that is cancelled, or left: it ends soon, and nothing of it is there any more."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from host.protocol.messages.agent_events import AgentEvent, TextDelta, ToolUse, TurnBegan, TurnDone
from tests.agents.claude.claude_rig import ClaudeRig, done_of
from tests.support.host import eventually
from tests.support.messages_api import MessagesApi, Reply, bash, says
from tests.support.processes import processes_below

pytestmark = pytest.mark.slow


async def cancel(claude: ClaudeRig, at: type[AgentEvent], **options: Any) -> None:
    """Cancel the turn at the first such event."""
    done = done_of(await claude.run(claude.order("Go", **options), cancel_at=at))
    assert (done.reason, done.cancelled) == ("cancelled", True)


@pytest.fixture
def no_force(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("host.agents.claude.turn.INTERRUPT_S", 1000.0)


@pytest.mark.parametrize(
    ("reply", "at"),
    [
        (says(bash("sleep 1000 | sleep 1001; echo over")), ToolUse),
        (says("a b c d e f g", pause_s=0.5), TextDelta),
        (says("silence", hangs=True), TextDelta),
        (says("never begun"), TurnBegan),
    ],
    ids=["while a command runs", "while a text comes", "while the API is silent", "at its begin"],
)
@pytest.mark.usefixtures("no_force")
async def test_a_cancelled_turn_stops_by_the_clis_own_means(
    claude: ClaudeRig, api: MessagesApi, tmp_path: Path, reply: Reply, at: type[AgentEvent]
) -> None:
    api.script("Go", reply)
    await cancel(claude, at, allowed_tools=["Bash"])
    assert processes_below(tmp_path) == {}


@pytest.mark.usefixtures("no_force")
async def test_what_is_cancelled_before_it_is_begun_is_never_given_to_the_agent(
    claude: ClaudeRig, api: MessagesApi, tmp_path: Path
) -> None:
    api.script("Go", says("never"))
    async with await claude.agent.start(claude.order("Go")) as turn:
        turn.cancel()
        events = [event async for event in turn]
    assert done_of(events).reason == "cancelled"
    assert api.requests == []
    assert processes_below(tmp_path) == {}


async def test_the_session_goes_on_after_it(claude: ClaudeRig, api: MessagesApi) -> None:
    api.script("Go", says(bash("sleep 1000")))
    api.script("On", says("Here I am"))
    await cancel(claude, ToolUse, allowed_tools=["Bash"])
    assert done_of(await claude.run(claude.order("On"))).reason == "completed"


async def test_what_ignores_signals_is_ended_all_the_same(claude: ClaudeRig, api: MessagesApi, tmp_path: Path) -> None:
    api.script("Go", says(bash("trap '' TERM INT HUP; touch ready; while :; do sleep 1; done")))
    async with await claude.agent.start(claude.order("Go", allowed_tools=["Bash"])) as turn:
        reading = asyncio.create_task(anext(event async for event in turn if isinstance(event, TurnDone)))
        await eventually((claude.root / "ready").exists)
        turn.cancel()
        assert (await reading).reason == "cancelled"
        assert processes_below(tmp_path) == {}


async def test_a_command_in_the_background_does_not_hold_up_its_cancelling(
    claude: ClaudeRig, api: MessagesApi, tmp_path: Path
) -> None:
    api.script("Go", says(bash("sleep 1000", in_background=True)), says("It runs."))
    await cancel(claude, TextDelta, allowed_tools=["Bash"])
    assert processes_below(tmp_path) == {}


async def test_a_cli_that_does_not_listen_is_ended_by_force(tmp_path: Path) -> None:
    program = tmp_path / "claude"
    line = '{"type":"system","subtype":"init","model":"m","tools":[]}'
    program.write_text(f"#!/bin/sh\ntrap '' TERM INT\necho '{line}'\nwhile :; do sleep 1; done\n")
    program.chmod(0o755)
    async with ClaudeRig.with_program(tmp_path, program, {"PATH": "/usr/bin:/bin", "HOME": str(tmp_path)}) as rig:
        await cancel(rig, TurnBegan)
        assert processes_below(tmp_path) == {}


async def test_a_turn_that_is_left_in_the_middle_leaves_nothing(
    claude: ClaudeRig, api: MessagesApi, tmp_path: Path
) -> None:
    api.script("Go", says(bash("setsid sleep 1000 & sleep 1001")))

    async def watch() -> None:
        async with await claude.agent.start(claude.order("Go", allowed_tools=["Bash"])) as turn:
            async for _ in turn:
                pass

    watching = asyncio.create_task(watch())
    await eventually(lambda: any("1001" in arguments for arguments in processes_below(tmp_path).values()))
    watching.cancel()
    await asyncio.wait([watching])
    assert watching.cancelled()
    assert processes_below(tmp_path) == {}
