"""Turns: accepted with their answer, one at a time in a session, each told from its beginning to its one end."""

import asyncio

import pytest

from host.protocol.limits import MAX_QUEUED_TURNS, MAX_TURNS_AT_ONCE
from tests.agents.agent_rig import AgentRig


def kinds(events: list[dict[str, object]]) -> list[object]:
    return [event["type"] for event in events]


async def test_a_turn_is_told_from_its_message_to_its_one_end(rig: AgentRig) -> None:
    session, turn = await rig.begin("say hello", "delta wor", "say world")
    await rig.done(turn)

    log = await rig.log(session)
    assert kinds(log) == ["user", "init", "text", "text", "done"]
    assert log[0]["content"] == "say hello\ndelta wor\nsay world"
    assert [event["text"] for event in log if event["type"] == "text"] == ["hello", "world"]
    assert log[-1]["reason"] == "completed"
    assert {(event["agentSessionId"], event["turnId"]) for event in log} == {(session, turn)}
    (delta,) = rig.events("text_delta")
    assert delta == {
        "type": "text_delta",
        "agentSessionId": session,
        "turnId": turn,
        "at": delta["at"],
        "text": "wor",
    }
    assert log[0]["at"] <= delta["at"] <= log[-1]["at"]
    assert [event for event in rig.events() if event["type"] != "text_delta"] == log
    assert rig.agent.turns[0].is_left


async def test_a_message_that_runs_at_once_is_not_queued_and_those_behind_it_count_from_one(rig: AgentRig) -> None:
    session, first = await rig.begin("wait go")
    answers = [await rig.send(session, f"say {number}") for number in range(3)]

    assert [(answer["queued"], answer["position"]) for answer in answers] == [(True, 1), (True, 2), (True, 3)]
    assert [event["position"] for event in rig.events("queued")] == [1, 2, 3]
    rig.agent.gate("go").set()
    for answer in answers:
        await rig.done(answer["turnId"])
    assert [order.turn_id for order in rig.agent.orders] == [first, *(answer["turnId"] for answer in answers)]
    last = await rig.send(session, "say last")
    assert (last["queued"], last["position"]) == (False, 0)
    await rig.done(last["turnId"])


async def test_the_turns_of_one_session_never_run_together(rig: AgentRig) -> None:
    session, first = await rig.begin("wait go")
    second = (await rig.send(session, "say second"))["turnId"]
    await rig.told_of("init", turnId=first)
    assert len(rig.agent.turns) == 1
    rig.agent.gate("go").set()
    await rig.done(second)

    log = await rig.log(session)
    ends = [event["turnId"] for event in log if event["type"] in ("init", "done")]
    assert ends == [first, first, second, second]


async def test_messages_run_in_the_order_in_which_they_came_however_large_they_are(rig: AgentRig) -> None:
    session, turn = await rig.begin("wait go")
    contents = [f"say {number} {'x' * (8_000_000 if number == 0 else 1)}" for number in range(9)]
    sending = [asyncio.create_task(rig.send(session, content)) for content in contents]
    answers = await asyncio.gather(*sending)
    rig.agent.gate("go").set()
    await rig.done(answers[-1]["turnId"])

    assert [answer["position"] for answer in answers] == list(range(1, 10))
    assert [order.content for order in rig.agent.orders[1:]] == contents
    await rig.done(turn)


async def test_a_cancel_takes_back_what_was_sent_just_before_it(rig: AgentRig) -> None:
    session, turn = await rig.begin("wait go")
    sending = asyncio.create_task(rig.send(session, "say " + "x" * 1_000_000))
    await asyncio.sleep(0)
    await rig.ask("agent_cancel", agentSessionId=session)
    late = await sending
    assert (await rig.done(late["turnId"]))["reason"] == "cancelled"
    assert (await rig.done(turn))["reason"] == "cancelled"
    assert len(rig.agent.orders) == 1


async def test_sessions_run_beside_each_other_and_too_many_wait_for_a_place(rig: AgentRig) -> None:
    sessions = [await rig.begin("wait go") for _ in range(MAX_TURNS_AT_ONCE)]
    await rig.until(lambda: len(rig.events("init")) == MAX_TURNS_AT_ONCE)
    late, late_turn = await rig.begin("say late")

    assert (await rig.told_of("queued", turnId=late_turn))["position"] == 1
    states = {each["agentSessionId"]: each["state"] for each in (await rig.ask("agent_sessions_list"))["sessions"]}
    assert states[late] == "queued"
    assert {states[session] for session, _ in sessions} == {"running"}
    rig.agent.gate("go").set()
    await rig.done(late_turn)
    for _, turn in sessions:
        await rig.done(turn)


async def test_a_session_with_much_to_do_lets_others_go_before_it(rig: AgentRig) -> None:
    busy = [await rig.begin("wait go") for _ in range(MAX_TURNS_AT_ONCE)]
    more = [(await rig.send(session, "wait never"))["turnId"] for session, _ in busy]
    _, late_turn = await rig.begin("say late")
    rig.agent.gate("go").set()

    await rig.done(late_turn)
    rig.agent.gate("never").set()
    for turn in more:
        await rig.done(turn)


async def test_fifty_messages_wait_and_the_next_is_refused_and_not_remembered(rig: AgentRig) -> None:
    session, _ = await rig.begin("wait go")
    for _ in range(MAX_QUEUED_TURNS):
        last = await rig.send(session, "say more")
    assert last["position"] == MAX_QUEUED_TURNS

    refused = await rig.refusal("agent_message", agentSessionId=session, content="say too many", request_id="again")
    assert refused["code"] == "DAEMON_BUSY"
    rig.agent.gate("go").set()
    await rig.done(last["turnId"])
    answer = await rig.send(session, "say too many", request_id="again")
    await rig.done(answer["turnId"])
    assert "say too many" in [order.content for order in rig.agent.orders]


async def test_the_same_request_again_is_one_turn(rig: AgentRig) -> None:
    first = await rig.ask("agent_session_new", content="say once", request_id="same")
    second = await rig.ask("agent_session_new", content="say once", request_id="same")

    assert first == second
    await rig.done(first["turnId"])
    assert len(rig.agent.orders) == 1


async def test_an_agent_that_cannot_start_fails_the_turn_and_the_next_one_is_tried(rig: AgentRig) -> None:
    rig.agent.is_unavailable = True
    session, turn = await rig.begin("say hello")
    assert (await rig.done(turn))["reason"] == "failed"
    assert (await rig.told_of("error", turnId=turn))["code"] == "AGENT_UNAVAILABLE"

    rig.agent.is_unavailable = False
    answer = await rig.send(session, "say hello")
    assert (await rig.done(answer["turnId"]))["reason"] == "completed"
    assert rig.agent.orders[0].is_first


async def test_an_agent_that_breaks_off_or_breaks_down_fails_its_turn_without_internals(rig: AgentRig) -> None:
    for script in ("vanish", "crash"):
        session, turn = await rig.begin("say hello", script)
        assert (await rig.done(turn))["reason"] == "failed"
        assert kinds(await rig.log(session)) == ["user", "init", "text", "error", "done"]
        error = await rig.told_of("error", turnId=turn)
        assert error["code"] == "UNKNOWN_ERROR"
        assert "script" not in error["message"]
    assert all(turn.is_left for turn in rig.agent.turns)


async def test_a_failure_that_the_agent_tells_is_told_once(rig: AgentRig, caplog: pytest.LogCaptureFixture) -> None:
    session, turn = await rig.begin("fail", "say never")

    assert (await rig.done(turn))["reason"] == "failed"
    assert kinds(await rig.log(session)) == ["user", "init", "error", "done"]
    assert caplog.messages == [f"A turn of session {session} failed. UNKNOWN_ERROR: The script says so."]


async def test_the_first_turn_makes_the_session_and_the_next_ones_go_on_with_it(rig: AgentRig) -> None:
    session, turn = await rig.begin("say hello")
    await rig.done(turn)
    await rig.done((await rig.send(session, "say more"))["turnId"])

    assert [order.is_first for order in rig.agent.orders] == [True, False]
    assert {order.agent_session_id for order in rig.agent.orders} == {session}
    assert rig.agent.orders[0].root == (await rig.registry.root_of(rig.project_id))


async def test_a_long_text_is_cut_and_says_so(rig: AgentRig) -> None:
    session, turn = await rig.begin("big 1000000")
    await rig.done(turn)

    (text,) = [event for event in await rig.log(session) if event["type"] == "text"]
    assert text["truncated"] is True
    assert 100_000 < len(text["text"]) < 256 * 1024


async def test_what_is_said_at_once_comes_in_few_pieces_and_nothing_of_it_is_lost(rig: AgentRig) -> None:
    words = [f"w{number}" for number in range(500)]
    _, turn = await rig.begin(*(f"delta {word}" for word in words), "wait go")
    await rig.told_of("text_delta", turnId=turn)
    rig.agent.gate("go").set()
    await rig.done(turn)

    pieces = [event["text"] for event in rig.events("text_delta")]
    assert "".join(pieces) == "".join(words)
    assert len(pieces) < 20


async def test_without_a_link_a_turn_runs_on_and_its_log_has_everything(rig: AgentRig) -> None:
    rig.is_linked = False
    session, turn = await rig.begin("delta x", "say hello")
    async with asyncio.timeout(10):
        while (log := await rig.log(session))[-1]["type"] != "done":
            pass
    assert kinds(log) == ["user", "init", "text", "done"]
    assert rig.told == []
    assert log[-1]["turnId"] == turn
