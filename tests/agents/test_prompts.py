"""Prompts: kept until somebody answers; the first answer wins and everybody sees which."""

import asyncio
from pathlib import Path

from tests.agents.agent_rig import AgentRig, agent_rig


async def asked(rig: AgentRig, *lines: str, **payload: object) -> tuple[str, str, str]:
    """A session that waits for an answer: its id, its turn's, and the prompt's."""
    session, turn = await rig.begin(*lines, **payload)
    prompt = await rig.told_of("prompt", turnId=turn)
    return session, turn, prompt["promptId"]


async def waiting(rig: AgentRig) -> list[str]:
    return [item["promptId"] for item in (await rig.ask("attention_list"))["items"]]


async def test_an_answer_is_logged_with_who_gave_it_and_passed_on(rig: AgentRig) -> None:
    session, turn, prompt_id = await asked(rig, "ask Bash", "say after")
    answer = await rig.answer(
        session, prompt_id, message="fine", updatedInput={"command": "ls"}, answers={"Which?": ["a", "b"]}
    )
    assert answer == {"success": True, "applied": True, "decision": "allow"}
    await rig.done(turn)

    log = await rig.log(session)
    assert [event["type"] for event in log] == [
        "user",
        "init",
        "prompt",
        "prompt_resolved",
        "text",
        "text",
        "done",
    ]
    assert (log[2]["kind"], log[2]["tool"], log[2]["input"]) == ("permission", "Bash", {"of": "Bash"})
    assert (log[3]["promptId"], log[3]["decision"], log[3]["by"]) == (prompt_id, "allow", "Ada's phone")
    assert log[4]["text"] == "Bash: allow"
    ((passed_id, passed),) = rig.agent.turns[0].answers
    assert (passed_id, passed.message, passed.updated_input) == (prompt_id, "fine", {"command": "ls"})
    assert passed.answers == {"Which?": ["a", "b"]}


async def test_the_first_answer_wins_and_later_ones_hear_which_stands(rig: AgentRig) -> None:
    session, turn, prompt_id = await asked(rig, "ask Bash", "wait go")
    first, second = await asyncio.gather(
        rig.answer(session, prompt_id, "deny"), rig.answer(session, prompt_id, "allow")
    )
    assert first == {"success": True, "applied": True, "decision": "deny"}
    assert second == {"success": True, "applied": False, "decision": "deny"}
    rig.agent.gate("go").set()
    await rig.done(turn)

    assert len(rig.events("prompt_resolved")) == 1
    assert len(rig.agent.turns[0].answers) == 1
    late = await rig.answer(session, prompt_id, "allow_always")
    assert late == {"success": True, "applied": False, "decision": "deny"}


async def test_an_answer_sent_twice_is_one_answer(rig: AgentRig) -> None:
    session, turn, prompt_id = await asked(rig, "ask Bash")
    payload = {"agentSessionId": session, "promptId": prompt_id, "decision": "allow"}
    first = await rig.ask("agent_prompt_response", request_id="same", **payload)
    assert await rig.ask("agent_prompt_response", request_id="same", **payload) == first
    await rig.done(turn)

    assert first["applied"] is True
    assert len(rig.agent.turns[0].answers) == 1


async def test_several_prompts_wait_at_once_and_are_answered_in_any_order(rig: AgentRig) -> None:
    session, turn = await rig.begin("ask Read Grep Bash")
    await rig.until(lambda: len(rig.events("prompt")) == 3)
    by_tool = {event["tool"]: event["promptId"] for event in rig.events("prompt")}
    assert await waiting(rig) == [by_tool["Read"], by_tool["Grep"], by_tool["Bash"]]
    for tool in ("Bash", "Read", "Grep"):
        await rig.answer(session, by_tool[tool], "deny" if tool == "Grep" else "allow")
    await rig.done(turn)

    texts = [event["text"] for event in await rig.log(session) if event["type"] == "text"]
    assert texts == ["Read: allow", "Grep: deny", "Bash: allow"]
    assert await waiting(rig) == []


async def test_who_has_not_joined_hears_what_waits_and_when_it_waits_no_more(rig: AgentRig) -> None:
    session, turn, prompt_id = await asked(rig, "ask Bash")
    (item,) = (await rig.ask("attention_list"))["items"]
    assert item == {
        "sessionId": rig.project_id,
        "agentSessionId": session,
        "promptId": prompt_id,
        "kind": "permission",
        "tool": "Bash",
        "title": "ask Bash",
        "at": item["at"],
    }
    await rig.answer(session, prompt_id)
    await rig.done(turn)

    heard = rig.attention()
    assert [(event["kind"], event.get("promptId"), event["title"]) for event in heard] == [
        ("prompt", prompt_id, "ask Bash"),
        ("cleared", prompt_id, "ask Bash"),
        ("done", None, "ask Bash"),
    ]
    assert {(event["sessionId"], event["agentSessionId"]) for event in heard} == {(rig.project_id, session)}


async def test_a_session_that_waits_for_an_answer_says_so_in_the_list(rig: AgentRig) -> None:
    session, turn, prompt_id = await asked(rig, "ask Bash")
    (listed,) = (await rig.ask("agent_sessions_list"))["sessions"]
    assert (listed["agentSessionId"], listed["state"]) == (session, "waiting")
    await rig.answer(session, prompt_id)
    await rig.done(turn)
    (listed,) = (await rig.ask("agent_sessions_list"))["sessions"]
    assert listed["state"] == "idle"


async def test_what_the_agent_withdraws_waits_no_more(rig: AgentRig) -> None:
    session, turn = await rig.begin("withdraw Bash", "wait go")
    resolved = await rig.told_of("prompt_resolved")
    assert resolved["decision"] == "withdrawn"
    late = await rig.answer(session, resolved["promptId"])
    assert late == {"success": True, "applied": False, "decision": "withdrawn"}
    assert await waiting(rig) == []
    rig.agent.gate("go").set()
    await rig.done(turn)


async def test_what_a_turn_asked_waits_no_more_when_it_has_ended(rig: AgentRig) -> None:
    session, turn, prompt_id = await asked(rig, "ask Bash")
    await rig.ask("agent_cancel", agentSessionId=session)
    await rig.done(turn)

    assert [event["type"] for event in await rig.log(session)][-2:] == ["prompt_resolved", "done"]
    assert (await rig.answer(session, prompt_id))["decision"] == "withdrawn"


async def test_always_holds_for_the_later_turns_of_the_project(rig: AgentRig) -> None:
    session, turn, prompt_id = await asked(rig, "ask Bash Read")
    other = (await rig.told_of("prompt", tool="Read"))["promptId"]
    await rig.answer(session, prompt_id, "allow_always")
    await rig.answer(session, other, "allow")
    await rig.done(turn)
    await rig.done((await rig.send(session, "say next"))["turnId"])
    _, elsewhere = await rig.begin("say other")
    await rig.done(elsewhere)

    assert [list(order.allowed) for order in rig.agent.orders] == [[], ["Bash(always)"], ["Bash(always)"]]


async def test_an_answer_that_lost_allows_nothing_always(rig: AgentRig) -> None:
    session, turn, prompt_id = await asked(rig, "ask Bash", "wait go")
    await rig.answer(session, prompt_id, "deny")
    await rig.answer(session, prompt_id, "allow_always")
    rig.agent.gate("go").set()
    await rig.done(turn)
    await rig.done((await rig.send(session, "say next"))["turnId"])

    assert list(rig.agent.orders[1].allowed) == []


async def test_an_allowed_plan_says_how_the_session_goes_on(rig: AgentRig) -> None:
    for mode, expected in ((None, None), ("acceptEdits", "acceptEdits")):
        session, turn, prompt_id = await asked(rig, "plan", options={"permissionMode": "plan"})
        await rig.answer(session, prompt_id, **({"permissionMode": mode} if mode else {}))
        await rig.done(turn)
        await rig.done((await rig.send(session, "say next"))["turnId"])
        assert rig.agent.orders[-1].options.permission_mode == expected


async def test_a_refused_plan_is_planned_on(rig: AgentRig) -> None:
    session, turn, prompt_id = await asked(rig, "plan", options={"permissionMode": "plan"})
    await rig.answer(session, prompt_id, "deny", message="Not yet.")
    await rig.done(turn)
    await rig.done((await rig.send(session, "say next"))["turnId"])

    assert rig.agent.orders[-1].options.permission_mode == "plan"


async def test_a_mode_that_the_host_forbids_is_refused_and_the_prompt_waits_on(rig: AgentRig) -> None:
    session, turn, prompt_id = await asked(rig, "plan")
    payload = {"agentSessionId": session, "promptId": prompt_id, "decision": "allow"}
    error = await rig.refusal("agent_prompt_response", permissionMode="bypassPermissions", **payload)
    assert error["code"] == "UNSUPPORTED"
    assert await waiting(rig) == [prompt_id]
    await rig.answer(session, prompt_id)
    await rig.done(turn)


async def test_an_answer_to_another_question_is_refused_and_the_prompt_waits_on(rig: AgentRig) -> None:
    session, turn, prompt_id = await asked(rig, "question Which colour?")
    payload = {"agentSessionId": session, "promptId": prompt_id, "decision": "allow"}
    error = await rig.refusal("agent_prompt_response", answers={"Which color?": "Blue"}, **payload)
    assert (error["code"], error["details"]["errors"][0]["field"]) == ("INVALID_REQUEST", "answers")
    assert await waiting(rig) == [prompt_id]
    await rig.answer(session, prompt_id, answers={"Which colour?": "Blue"})
    await rig.done(turn)
    ((_, passed),) = rig.agent.turns[0].answers
    assert passed.answers == {"Which colour?": "Blue"}


async def test_what_was_never_asked_is_not_found(rig: AgentRig) -> None:
    session, turn = await rig.begin("say hello")
    await rig.done(turn)
    for payload in (
        {"agentSessionId": session, "promptId": "never"},
        {"agentSessionId": "00000000-0000-4000-8000-000000000000", "promptId": "never"},
    ):
        error = await rig.refusal("agent_prompt_response", decision="allow", **payload)
        assert error["code"] == "SESSION_NOT_FOUND"


async def test_a_prompt_of_another_project_is_not_found(rig: AgentRig, tmp_path: Path) -> None:
    session, turn, prompt_id = await asked(rig, "ask Bash")
    (tmp_path / "other").mkdir()
    other = await rig.registry.add(tmp_path / "other")
    payload = {"agentSessionId": session, "promptId": prompt_id, "decision": "allow"}
    error = await rig.refusal("agent_prompt_response", project=other.project_id, **payload)
    assert error["code"] == "SESSION_NOT_FOUND"
    await rig.answer(session, prompt_id)
    await rig.done(turn)


async def test_a_prompt_waits_over_a_lost_link(tmp_path: Path) -> None:
    async with agent_rig(tmp_path) as rig:
        rig.is_linked = False
        session, _ = await rig.begin("ask Bash")
        async with asyncio.timeout(10):
            while not (ids := await waiting(rig)):
                pass
        rig.is_linked = True
        assert (await rig.answer(session, ids[0]))["applied"] is True
        await rig.told_of("done")
