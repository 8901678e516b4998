"""Queues, cancelling and crashes with the real Claude Code: nothing accepted is lost, nothing is left running."""

import asyncio
from pathlib import Path
from uuid import uuid4

import pytest

from tests.end_to_end.chat import AgentServed, Chat, Conversation, chat_on, kinds, only, outcome, texts, until
from tests.support.messages_api import MessagesApi, bash, says
from tests.support.processes import Bench, eventually, processes_below

pytestmark = pytest.mark.slow

# What a command of the agent does so that its processes can be told from all others.
MARK = "7391"


def children(served: AgentServed) -> list[list[str]]:
    """What runs on the machine of the agent: itself, and what its tools began."""
    running = processes_below(served.claude_home).values()
    return [line for line in running if MARK in " ".join(line) or "--input-format" in " ".join(line)]


async def nothing_runs(served: AgentServed) -> None:
    await asyncio.to_thread(eventually, lambda: not children(served), what="The end of all the agent began")


async def wait_for_file(path: Path) -> None:
    await asyncio.to_thread(eventually, path.exists, what=f"The file {path.name}")


async def test_messages_wait_for_their_turn_and_each_has_its_own(chat: Chat, api: MessagesApi) -> None:
    api.script("Hold on", says(bash("touch held")), says("Held."))
    conversation = await chat.begin("Hold on")
    prompt = await conversation.next("prompt")
    for number in range(1, 6):
        api.script(f"Message {number}", says(f"Answer {number}"))
        said = await conversation.say(f"Message {number}")
        assert (said["queued"], said["position"]) == (True, number)
    await conversation.answer(prompt, "allow")
    await conversation.turn()
    log = await conversation.log()
    assert texts(log) == ["Held.", *(f"Answer {number}" for number in range(1, 6))]
    assert kinds(log).count("done") == kinds(log).count("init") == 6
    assert {event["reason"] for event in log if event["type"] == "done"} == {"completed"}
    for number in range(1, 6):
        (asked,) = api.asked(f"Message {number}")
        assert f"Message {number + 1}" not in str(asked["messages"])


async def test_at_most_fifty_messages_wait_and_cancelling_takes_them_out(chat: Chat, api: MessagesApi) -> None:
    api.script("Hold on", says("Wait", hangs=True))
    conversation = await chat.begin("Hold on")
    await conversation.next("text_delta")
    waiting = [(await conversation.say(f"Message {number}"))["turnId"] for number in range(50)]
    refused = await chat.refusal("agent_message", agentSessionId=conversation.session_id, content="One too many")
    assert refused.code == "DAEMON_BUSY"
    await conversation.cancel(waiting[7])
    assert (await conversation.say("Fits again"))["position"] == 50
    assert (await conversation.listed())["state"] == "running"
    await conversation.cancel()
    await until(lambda: is_idle(conversation), what="The end of all turns")
    ends = [event for event in await conversation.log() if event["type"] == "done"]
    assert len(ends) == 52
    assert all(end["reason"] == "cancelled" and end["cancelled"] for end in ends)
    assert len(api.requests) == 1


async def is_idle(conversation: Conversation) -> bool:
    return (await conversation.listed()).get("state") == "idle"


@pytest.mark.parametrize(
    "command",
    [
        pytest.param(f"sleep {MARK}", id="plain"),
        pytest.param(f"setsid sleep {MARK} & sleep {MARK}", id="session"),
        pytest.param(f"trap '' INT TERM; sleep {MARK} & wait; sleep {MARK}", id="stubborn"),
    ],
)
async def test_cancelling_ends_what_the_agent_runs(
    chat: Chat, api: MessagesApi, agent_served: AgentServed, command: str
) -> None:
    began = agent_served.root / f"began-{uuid4()}"
    api.script("Sleep", says(bash(f"touch {began.name}; {command}")))
    conversation = await chat.begin("Sleep", allowedTools=["Bash"])
    await wait_for_file(began)
    assert any(MARK in " ".join(line) for line in children(agent_served))
    await conversation.cancel()
    turn = await conversation.turn()
    assert outcome(turn) == "cancelled"
    assert turn[-1]["cancelled"] is True
    await nothing_runs(agent_served)
    api.script("Go on", says("Awake."))
    await conversation.say("Go on")
    assert texts(await conversation.turn()) == ["Awake."]


async def test_cancelling_takes_the_prompt_back(chat: Chat, api: MessagesApi, agent_served: AgentServed) -> None:
    api.script("Touch it", says(bash("touch never")))
    conversation = await chat.begin("Touch it")
    prompt = await conversation.next("prompt")
    await conversation.cancel()
    turn = await conversation.turn()
    assert outcome(turn) == "cancelled"
    assert only(turn, "prompt_resolved")["decision"] == "withdrawn"
    answered = await conversation.answer(prompt, "allow")
    assert (answered["applied"], answered["decision"]) == (False, "withdrawn")
    assert not (agent_served.root / "never").exists()
    await nothing_runs(agent_served)


async def test_a_request_that_is_sent_again_runs_once(chat: Chat, api: MessagesApi) -> None:
    api.script("Once", says("Only once."))
    request_id = str(uuid4())

    async def send() -> dict[str, str]:
        payload = {"content": "Once"}
        answer: dict[str, str] = await chat.client.request(
            "agent_session_new", payload, session_id=chat.project_id, request_id=request_id
        )
        return answer

    first = await send()
    conversation = Conversation(chat, first["agentSessionId"], first["turnId"])
    await conversation.turn()
    assert await send() == first
    assert len(api.requests) == 1


async def test_a_daemon_that_is_killed_while_a_prompt_waits_says_so_and_goes_on(
    chat: Chat, api: MessagesApi, agent_served: AgentServed
) -> None:
    api.script("Touch it", says(bash("touch never")))
    conversation = await chat.begin("Touch it")
    prompt = await conversation.next("prompt")
    api.script("And then?", says("I am back."))
    assert (await conversation.say("And then?"))["position"] == 1
    assert children(agent_served)
    await asyncio.to_thread(agent_served.machine.kill)
    await nothing_runs(agent_served)
    await asyncio.to_thread(agent_served.machine.start)
    await asyncio.to_thread(agent_served.machine.wait_until_connected)
    await until(lambda: is_idle(conversation), what="The end of all turns")
    log = await conversation.log()
    first = [event for event in log if event["turnId"] == prompt["turnId"]]
    assert outcome(first) == "interrupted"
    assert kinds(first)[-2:] == ["prompt_resolved", "done"]
    assert only(first, "prompt_resolved")["decision"] == "interrupted"
    assert texts([event for event in log if event["turnId"] == conversation.turn_id]) == ["I am back."]
    assert kinds(log).count("done") == 2
    answered = await conversation.answer(prompt, "allow")
    assert (answered["applied"], answered["decision"]) == (False, "interrupted")
    assert not (agent_served.root / "never").exists()


async def test_a_daemon_that_is_killed_while_a_tool_runs_leaves_nothing_behind(
    chat: Chat, api: MessagesApi, agent_served: AgentServed
) -> None:
    began = agent_served.root / f"began-{uuid4()}"
    api.script("Sleep", says("I sleep.", bash(f"touch {began.name}; setsid sleep {MARK} & sleep {MARK}")))
    conversation = await chat.begin("Sleep", allowedTools=["Bash"])
    await wait_for_file(began)
    assert children(agent_served)
    await asyncio.to_thread(agent_served.machine.kill)
    await nothing_runs(agent_served)
    await asyncio.to_thread(agent_served.machine.start)
    await asyncio.to_thread(agent_served.machine.wait_until_connected)
    log = await conversation.log()
    assert outcome(log) == "interrupted"
    assert texts(log) == ["I sleep."]
    api.script("Go on", says("Awake."))
    await conversation.say("Go on")
    assert texts(await conversation.turn()) == ["Awake."]


async def test_a_daemon_that_is_stopped_at_once_ends_its_turns_and_says_so(
    chat: Chat, api: MessagesApi, agent_served: AgentServed
) -> None:
    api.script("Hold on", says("Wait", hangs=True))
    conversation = await chat.begin("Hold on")
    await conversation.next("text_delta")
    await asyncio.to_thread(agent_served.machine.succeed, "stop", "--force")
    await nothing_runs(agent_served)
    assert (await conversation.next("done"))["reason"] == "interrupted"
    await asyncio.to_thread(agent_served.machine.start)
    await asyncio.to_thread(agent_served.machine.wait_until_connected)
    assert outcome(await conversation.log()) == "interrupted"


async def test_a_turn_outlives_the_relay(chat: Chat, api: MessagesApi, agent_served: AgentServed) -> None:
    began = agent_served.root / f"began-{uuid4()}"
    api.script("Work", says(bash(f"touch {began.name}")), says("Done without you."))
    conversation = await chat.begin("Work", allowedTools=["Bash"])
    agent_served.relay.kill()
    await wait_for_file(began)
    await asyncio.to_thread(agent_served.relay.start)
    await asyncio.to_thread(agent_served.machine.wait_until_connected)
    async with chat_on(agent_served) as again:
        later = conversation.on(again)
        await until(lambda: is_idle(later), what="The end of the turn")
        log = await later.log()
    assert texts(log) == ["Done without you."]
    assert outcome(log) == "completed"


async def test_where_there_is_no_agent_people_are_told_how_to_get_one(bench: Bench) -> None:
    served = AgentServed(bench, POCKETCODER_CLAUDE="/nowhere/claude")
    async with chat_on(served) as chat:
        refused = await chat.refusal("agent_capabilities")
        assert refused.code == "AGENT_UNAVAILABLE"
        assert "POCKETCODER_CLAUDE" in refused.message
        conversation = await chat.begin("Say hello")
        turn = await conversation.turn()
        assert outcome(turn) == "failed"
        assert only(turn, "error")["code"] == "AGENT_UNAVAILABLE"
