"""Sessions of the real Claude Code that go back and forth between a terminal and the phone."""

import asyncio
from uuid import uuid4

import pytest

from tests.end_to_end.chat import AgentServed, Chat, Conversation, kinds, only, outcome, texts, until
from tests.support.claude_cli import run_claude
from tests.support.claude_terminal import ClaudeTerminal
from tests.support.messages_api import MessagesApi, bash, says
from tests.support.processes import eventually

pytestmark = pytest.mark.slow


async def in_terminal(served: AgentServed, api: MessagesApi, *arguments: str) -> str:
    """What the user's own CLI prints."""
    return await asyncio.to_thread(run_claude, served.root, served.claude_home, api.url, *arguments)


async def test_a_session_goes_from_the_terminal_to_the_phone_and_back(
    chat: Chat, api: MessagesApi, agent_served: AgentServed
) -> None:
    session_id = str(uuid4())
    api.script("My name is Ada", says("Hello, Ada."))
    await in_terminal(agent_served, api, "-p", "My name is Ada", f"--session-id={session_id}")
    conversation = Conversation(chat, session_id)
    listed = await conversation.listed()
    assert (listed["title"], listed["messageCount"]) == ("My name is Ada", 2)
    assert (listed["source"], listed["state"]) == ("terminal", "idle")
    begun = await conversation.log()
    assert kinds(begun) == ["user", "text", "done"]

    api.script("What is it?", says("It is Ada."))
    await conversation.say("What is it?")
    assert texts(await conversation.turn()) == ["It is Ada."]
    assert "Hello, Ada." in str(api.asked("What is it?")[0]["messages"])

    api.script("And backwards?", says("adA."))
    assert await in_terminal(agent_served, api, f"--resume={session_id}", "-p", "And backwards?") == "adA.\n"
    assert "It is Ada." in str(api.asked("And backwards?")[0]["messages"])

    api.script("Thanks", says("Not at all."))
    await conversation.say("Thanks")
    await conversation.turn()
    log = await conversation.log()
    assert log[:3] == begun
    assert [event["content"] for event in log if event["type"] == "user"] == [
        *("My name is Ada", "What is it?", "And backwards?", "Thanks")
    ]
    assert texts(log) == ["Hello, Ada.", "It is Ada.", "adA.", "Not at all."]
    assert kinds(log).count("done") == 4
    assert await conversation.log() == log


async def test_a_session_begun_by_phone_is_offered_to_a_terminal_and_goes_on_there(
    chat: Chat, api: MessagesApi, agent_served: AgentServed
) -> None:
    api.script("My name is Bob", says("Hello, Bob."))
    conversation = await chat.begin("My name is Bob")
    await conversation.turn()
    api.script("What is it?", says("It is Bob."))
    with ClaudeTerminal.open(agent_served.root, agent_served.claude_home, api.url, "--resume") as terminal:
        await asyncio.to_thread(terminal.wait_to_see, "My name is Bob")
        terminal.press("\r")
        await asyncio.to_thread(eventually, lambda: terminal.session_id == conversation.session_id, what="The choice")
        await asyncio.to_thread(terminal.say, "What is it?")
        await until(lambda: has_said(conversation, "It is Bob."), what="The answer in the log")
    log = await conversation.log()
    assert texts(log) == ["Hello, Bob.", "It is Bob."]
    assert kinds(log).count("done") == 2
    assert (await conversation.listed())["source"] == "pocketcoder"


async def has_said(conversation: Conversation, words: str) -> bool:
    return words in texts(await conversation.log())


async def test_a_session_that_a_terminal_works_on_is_refused_and_taken_when_it_is_done(
    chat: Chat, api: MessagesApi, agent_served: AgentServed
) -> None:
    api.script("Touch it", says(bash("touch it.txt")), says("Touched."))
    with ClaudeTerminal.open(agent_served.root, agent_served.claude_home, api.url) as terminal:
        await asyncio.to_thread(terminal.wait_for, "idle")
        await asyncio.to_thread(terminal.say, "Touch it")
        await asyncio.to_thread(terminal.wait_for, "waiting")
        conversation = Conversation(chat, terminal.session_id)

        async def is_read_up_to(kind: str) -> bool:
            # The CLI writes its lines a little after it has done what they tell.
            return bool(await conversation.listed()) and kinds(await conversation.log())[-1] == kind

        await until(lambda: is_read_up_to("tool_use"), what="The question in the transcript")
        assert (await conversation.listed())["state"] == "running"
        refused = await chat.refusal("agent_message", agentSessionId=conversation.session_id, content="Hurry")
        assert refused.code == "CONFLICT"
        assert f"process {terminal.pid}" in refused.message
        assert "pts/" in refused.message
        terminal.press("\r")
        await asyncio.to_thread(terminal.wait_for, "idle")
        await until(lambda: is_read_up_to("done"), what="The end in the transcript")
        log = await conversation.log()
        assert kinds(log) == ["user", "tool_use", "tool_result", "text", "done"]
        assert outcome(log) == "completed"
    api.script("Again", says("It is there."))
    await conversation.say("Again")
    turn = await conversation.turn()
    assert texts(turn) == ["It is there."]
    assert only(turn, "user")["seq"] == 6


async def test_what_is_not_there_is_not_found(chat: Chat) -> None:
    session_id = str(uuid4())
    for wire_type, payload in [
        ("agent_message", {"agentSessionId": session_id, "content": "Hello"}),
        ("agent_cancel", {"agentSessionId": session_id}),
        ("events_read", {"stream": f"agent:{session_id}"}),
    ]:
        assert (await chat.refusal(wire_type, **payload)).code == "SESSION_NOT_FOUND"
