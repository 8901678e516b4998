"""What the real Claude Code asks, answered from phones: once, by whoever is first, and nothing is lost."""

import asyncio
from pathlib import Path

import pytest

from tests.end_to_end.chat import AgentServed, Chat, Conversation, chat_on, kinds, only, outcome, texts
from tests.support.messages_api import MessagesApi, ask, bash, plan, question, says, write


@pytest.fixture
def place(agent_served: AgentServed, request: pytest.FixtureRequest) -> Path:
    """A file of the test's own."""
    return agent_served.root / f"{request.node.name}.txt"


async def test_what_is_allowed_is_done(chat: Chat, api: MessagesApi, place: Path) -> None:
    api.script("Touch it", says(bash(f"touch {place.name}")), says("Touched."))
    conversation = await chat.begin("Touch it")
    prompt = await conversation.next("prompt")
    assert (prompt["kind"], prompt["tool"]) == ("permission", "Bash")
    assert prompt["input"]["command"] == f"touch {place.name}"
    assert not place.exists()
    assert (await conversation.listed())["state"] == "waiting"
    assert await conversation.answer(prompt, "allow") == {"success": True, "applied": True, "decision": "allow"}
    turn = await conversation.turn()
    assert kinds(turn) == ["user", "init", "tool_use", "prompt", "prompt_resolved", "tool_result", "text", "done"]
    assert only(turn, "prompt_resolved")["by"] == "phone"
    assert place.exists()


@pytest.mark.slow
async def test_what_is_denied_is_not_done_and_the_agent_hears_why(chat: Chat, api: MessagesApi, place: Path) -> None:
    api.script("Touch it", says(bash(f"touch {place.name}")), says("I did not."))
    conversation = await chat.begin("Touch it")
    await conversation.answer(await conversation.next("prompt"), "deny", message="Not on a Sunday.")
    turn = await conversation.turn()
    assert texts(turn) == ["I did not."]
    assert outcome(turn) == "completed"
    assert not place.exists()
    result = only(turn, "tool_result")
    assert result["isError"] is True
    assert "Not on a Sunday." in str(result["content"])


@pytest.mark.slow
async def test_what_was_changed_is_what_is_done(chat: Chat, api: MessagesApi, place: Path) -> None:
    api.script("Write it", says(bash(f"echo theirs > {place.name}")), says("Written."))
    conversation = await chat.begin("Write it")
    prompt = await conversation.next("prompt")
    changed = {**prompt["input"], "command": f"echo mine > {place.name}"}
    await conversation.answer(prompt, "allow", updatedInput=changed)
    assert outcome(await conversation.turn()) == "completed"
    assert place.read_text() == "mine\n"


@pytest.mark.slow
async def test_what_is_always_allowed_is_not_asked_again_but_nothing_more_is(
    chat: Chat, api: MessagesApi, place: Path
) -> None:
    api.script("One", says(bash(f"touch {place.name}")), says("Done."))
    conversation = await chat.begin("One")
    await conversation.answer(await conversation.next("prompt"), "allow_always")
    await conversation.turn()
    place.unlink()
    api.script("Two", says(bash(f"touch {place.name}")), says("Done again."))
    await conversation.say("Two")
    assert "prompt" not in kinds(await conversation.turn())
    assert place.exists()
    api.script("Three", says(bash(f"touch {place.name}; rm -f {place.name}")), says("No."))
    await conversation.say("Three")
    await conversation.answer(await conversation.next("prompt"), "deny")
    await conversation.turn()
    assert place.exists()


@pytest.mark.slow
async def test_several_prompts_wait_at_once_and_are_answered_in_any_order(chat: Chat, api: MessagesApi) -> None:
    secrets = [bash("cat /etc/hostname"), bash("cat /etc/os-release")]
    api.script("Read both", says(*secrets), says("Read."))
    conversation = await chat.begin("Read both")
    prompts = [await conversation.next("prompt") for _ in secrets]
    for prompt in reversed(prompts):
        await conversation.answer(prompt, "allow")
    turn = await conversation.turn()
    assert outcome(turn) == "completed"
    assert kinds(turn).count("tool_result") == 2


@pytest.mark.slow
async def test_questions_are_answered_with_one_choice_or_several_or_in_own_words(chat: Chat, api: MessagesApi) -> None:
    questions = [
        question("Which colour?", "Red", "Blue"),
        question("Which fruits?", "Apple", "Pear", "Plum", several=True),
        question("Which name?", "Ada", "Bob"),
    ]
    api.script("Ask me", says(ask(*questions)), says("I see."))
    conversation = await chat.begin("Ask me")
    prompt = await conversation.next("prompt")
    assert prompt["kind"] == "question"
    assert [asked["question"] for asked in prompt["questions"]] == ["Which colour?", "Which fruits?", "Which name?"]
    answers = {"Which colour?": "Blue", "Which fruits?": ["Apple", "Plum"], "Which name?": "Something else"}
    await conversation.answer(prompt, "allow", answers=answers)
    turn = await conversation.turn()
    assert outcome(turn) == "completed"
    told = str(only(turn, "tool_result")["content"])
    assert all(part in told for part in ("Blue", "Apple, Plum", "Something else"))


@pytest.mark.slow
async def test_a_plan_is_refused_with_a_reason_and_then_accepted(chat: Chat, api: MessagesApi, place: Path) -> None:
    api.script(
        "Plan it",
        says(plan("# Plan\n1. Rush")),
        says(plan("# Plan\n1. Think\n2. Write")),
        says(write(place, "thought\n")),
        says("Done."),
    )
    conversation = await chat.begin("Plan it", permissionMode="plan")
    first = await conversation.next("prompt")
    assert (first["kind"], first["plan"]) == ("plan", "# Plan\n1. Rush")
    await conversation.answer(first, "deny", message="Think first.")
    second = await conversation.next("prompt")
    assert "Think" in second["plan"]
    await conversation.answer(second, "allow", permissionMode="acceptEdits")
    turn = await conversation.turn()
    assert outcome(turn) == "completed"
    assert place.read_text() == "thought\n"
    assert "Think first." in str(api.asked("Plan it")[1]["messages"])


@pytest.mark.slow
async def test_the_first_answer_counts_and_the_others_hear_of_it(
    chat: Chat, api: MessagesApi, agent_served: AgentServed, place: Path
) -> None:
    api.script("Touch it", says(bash(f"touch {place.name}")), says("Touched."))
    conversation = await chat.begin("Touch it")
    prompt = await conversation.next("prompt")
    async with chat_on(agent_served, device="tablet") as tablet:
        waiting = await tablet.client.request("attention_list", machine_key=await machine_key(tablet))
        assert [item["promptId"] for item in waiting["items"]] == [prompt["promptId"]]
        other = conversation.on(tablet)
        answers = await asyncio.gather(
            *(each.answer(prompt, decision) for each, decision in ((conversation, "deny"), (other, "allow")))
        )
        (applied,) = [answer for answer in answers if answer["applied"]]
        assert {answer["decision"] for answer in answers} == {applied["decision"]}
        assert (await other.next("prompt_resolved"))["decision"] == applied["decision"]
        await other.next("done")
        waiting = await tablet.client.request("attention_list", machine_key=await machine_key(tablet))
        assert waiting["items"] == []
    await conversation.turn()
    assert place.exists() == (applied["decision"] == "allow")
    again = await conversation.answer(prompt, "allow")
    assert again == {"success": True, "applied": False, "decision": applied["decision"]}


@pytest.mark.slow
async def test_a_phone_that_was_gone_for_the_whole_turn_reads_all_of_it(
    chat: Chat, api: MessagesApi, agent_served: AgentServed, place: Path
) -> None:
    api.script("Touch it", says("I will.", bash(f"touch {place.name}")), says("Touched."))
    async with chat_on(agent_served, device="first") as first:
        begun = await first.begin("Touch it")
    conversation = Conversation(chat, begun.session_id, begun.turn_id)
    attention = await chat.attention("prompt")
    assert attention["agentSessionId"] == begun.session_id
    await conversation.answer(only(await conversation.log(), "prompt"), "allow")
    await chat.attention("done")
    async with chat_on(agent_served, device="first") as first:
        log = await conversation.on(first).log(limit=3)
    assert kinds(log) == [
        "user",
        "init",
        "text",
        "tool_use",
        "prompt",
        "prompt_resolved",
        "tool_result",
        "text",
        "done",
    ]
    assert only(log, "prompt_resolved")["by"] == "phone"


@pytest.mark.slow
async def test_a_prompt_that_nobody_may_answer_is_refused(chat: Chat, api: MessagesApi) -> None:
    api.script("Say hello", says("Hello."))
    conversation = await chat.begin("Say hello")
    await conversation.turn()
    refused = await chat.refusal(
        "agent_prompt_response", agentSessionId=conversation.session_id, promptId="never-asked", decision="allow"
    )
    assert refused.code == "SESSION_NOT_FOUND"


async def machine_key(chat: Chat) -> str:
    (machine,) = (await chat.client.request("machines_list"))["machines"]
    return str(machine["machineKey"])
