"""Cancelling: the running turn, the whole queue, or one that waits."""

import asyncio
from dataclasses import replace

import pytest

from host.agents.terminal import TerminalSession
from tests.agents.agent_rig import AgentRig


def from_terminal(session: str) -> TerminalSession:
    """A session that a terminal works on."""
    return TerminalSession(
        agent_session_id=session,
        agent="claude",
        title="Theirs",
        created_at="2026-01-01T00:00:00.000Z",
        last_activity_at="2026-01-01T00:00:00.000Z",
        message_count=2,
        busy_in="a terminal (process 4711)",
    )


async def test_without_a_turn_the_running_one_ends_and_the_queue_is_empty(rig: AgentRig) -> None:
    session, first = await rig.begin("hold", "say never")
    waiting = [(await rig.send(session, "say never"))["turnId"] for _ in range(3)]
    await rig.told_of("init", turnId=first)
    assert await rig.ask("agent_cancel", agentSessionId=session) == {"success": True}
    for turn in (first, *waiting):
        done = await rig.done(turn)
        assert (done["reason"], done["cancelled"]) == ("cancelled", True)

    assert len(rig.agent.orders) == 1
    assert len(rig.events("done")) == 4
    assert rig.attention() == []
    assert rig.agent.turns[0].is_left


async def test_a_waiting_turn_is_taken_out_and_the_others_run(rig: AgentRig) -> None:
    session, first = await rig.begin("wait go")
    out, stays = [(await rig.send(session, f"say {name}"))["turnId"] for name in ("out", "stays")]
    await rig.ask("agent_cancel", agentSessionId=session, turnId=out)
    assert (await rig.done(out))["reason"] == "cancelled"
    rig.agent.gate("go").set()
    assert (await rig.done(first))["reason"] == "completed"
    assert (await rig.done(stays))["reason"] == "completed"

    assert [order.turn_id for order in rig.agent.orders] == [first, stays]


async def test_the_running_turn_may_be_named_and_the_queue_goes_on(rig: AgentRig) -> None:
    session, first = await rig.begin("hold")
    second = (await rig.send(session, "say second"))["turnId"]
    await rig.told_of("init", turnId=first)
    await rig.ask("agent_cancel", agentSessionId=session, turnId=first)

    assert (await rig.done(first))["reason"] == "cancelled"
    assert (await rig.done(second))["reason"] == "completed"


async def test_what_has_ended_stays_as_it_is(rig: AgentRig) -> None:
    session, turn = await rig.begin("say hello")
    await rig.done(turn)
    for payload in ({}, {"turnId": turn}):
        assert await rig.ask("agent_cancel", agentSessionId=session, **payload) == {"success": True}

    assert len(rig.events("done")) == 1


async def test_what_runs_in_a_terminal_is_not_said_to_be_cancelled(rig: AgentRig) -> None:
    ours, turn = await rig.begin("say hello")
    await rig.done(turn)
    for session in (ours, "11111111-1111-4111-8111-111111111111"):
        rig.store.sessions[session] = from_terminal(session)
        error = await rig.refusal("agent_cancel", agentSessionId=session)
        assert error["code"] == "CONFLICT"
        assert "a terminal (process 4711)" in error["message"]
    assert await rig.ask("agent_cancel", agentSessionId=ours, turnId=turn) == {"success": True}


async def test_in_a_session_that_rests_in_a_terminal_there_is_nothing_to_cancel(rig: AgentRig) -> None:
    session = "11111111-1111-4111-8111-111111111111"
    rig.store.sessions[session] = replace(from_terminal(session), busy_in=None)
    assert await rig.ask("agent_cancel", agentSessionId=session) == {"success": True}
    assert (await rig.refusal("agent_cancel", agentSessionId=session, turnId="never"))["code"] == "SESSION_NOT_FOUND"


async def test_what_waits_is_taken_out_though_a_terminal_has_the_session(rig: AgentRig) -> None:
    session, first = await rig.begin("hold")
    second = (await rig.send(session, "say never"))["turnId"]
    await rig.told_of("init", turnId=first)
    rig.store.sessions[session] = from_terminal(session)
    await rig.ask("agent_cancel", agentSessionId=session)
    for turn in (first, second):
        assert (await rig.done(turn))["reason"] == "cancelled"


async def test_what_never_was_is_not_found(rig: AgentRig) -> None:
    session, turn = await rig.begin("say hello")
    await rig.done(turn)
    for payload in (
        {"agentSessionId": "00000000-0000-4000-8000-000000000000"},
        {"agentSessionId": session, "turnId": "never"},
    ):
        assert (await rig.refusal("agent_cancel", **payload))["code"] == "SESSION_NOT_FOUND"


async def test_a_turn_is_cancelled_as_soon_as_it_is_begun(rig: AgentRig) -> None:
    session, turn = await rig.begin("hold")
    await rig.ask("agent_cancel", agentSessionId=session)

    assert (await rig.done(turn))["reason"] == "cancelled"


async def test_an_agent_that_does_not_hear_is_left_all_the_same(rig: AgentRig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("host.agents.running_turn.CANCEL_LIMIT_S", 0.05)
    session, turn = await rig.begin("deaf", "say deaf", "hold")
    await rig.told_of("text", text="deaf")
    await rig.ask("agent_cancel", agentSessionId=session)

    assert (await rig.done(turn))["reason"] == "cancelled"
    assert rig.agent.turns[0].is_left
    assert [event["type"] for event in await rig.log(session)] == ["user", "init", "text", "done"]


async def test_a_turn_that_is_being_left_may_be_cancelled_again_and_the_daemon_stopped(
    rig: AgentRig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("host.agents.running_turn.CANCEL_LIMIT_S", 0.05)
    session, turn = await rig.begin("deaf", "cling on", "say deaf", "hold")
    await rig.told_of("text", text="deaf")
    await rig.ask("agent_cancel", agentSessionId=session)
    async with asyncio.timeout(10):
        await rig.agent.gate("left").wait()
        await rig.ask("agent_cancel", agentSessionId=session)
        closing = asyncio.create_task(rig.service.close())
        await asyncio.sleep(0)
        assert not closing.done()
        rig.agent.gate("on").set()
        await closing

    assert (await rig.done(turn))["reason"] == "cancelled"


async def test_cancelling_again_gives_the_agent_no_more_time(rig: AgentRig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("host.agents.running_turn.CANCEL_LIMIT_S", 0.05)
    session, turn = await rig.begin("deaf", "say deaf", "hold")
    await rig.told_of("text", text="deaf")
    await rig.ask("agent_cancel", agentSessionId=session)
    monkeypatch.setattr("host.agents.running_turn.CANCEL_LIMIT_S", 1000.0)
    await rig.ask("agent_cancel", agentSessionId=session)

    assert (await rig.done(turn))["reason"] == "cancelled"
