"""What the real Claude Code offers, what may be set, and sessions in directories with odd names."""

import asyncio
from pathlib import Path
from uuid import uuid4

import pytest

from tests.end_to_end.chat import AgentServed, Chat, Conversation, chat_on, kinds, only, outcome, texts
from tests.support.claude_cli import CLI_VERSION, run_claude
from tests.support.messages_api import MessagesApi, says, write
from tests.support.processes import Bench

pytestmark = pytest.mark.slow


async def test_what_the_agent_offers_is_told(chat: Chat) -> None:
    offered = await chat.ask("agent_capabilities")
    assert (offered["agent"], offered["version"]) == ("claude", CLI_VERSION)
    assert {"default", "plan", "acceptEdits"} <= set(offered["permissionModes"])
    assert "bypassPermissions" not in offered["permissionModes"]
    assert any(command["name"] == "compact" for command in offered["commands"])
    assert all(model["value"] and model["displayName"] for model in offered["models"])


async def test_options_hold_until_they_are_changed(chat: Chat, api: MessagesApi, agent_served: AgentServed) -> None:
    path = agent_served.root / "options.txt"
    api.script("One", says("Yes."))
    conversation = await chat.begin(
        "One", permissionMode="acceptEdits", model="claude-sonnet-4-5", appendSystemPrompt="Be brief."
    )
    assert only(await conversation.turn(), "init")["permissionMode"] == "acceptEdits"
    api.script("Two", says(write(path, "2\n")), says("Written."))
    await conversation.say("Two")
    assert "prompt" not in kinds(await conversation.turn())
    assert path.read_text() == "2\n"
    for asked in (*api.asked("One"), *api.asked("Two")):
        assert asked["model"] == "claude-sonnet-4-5"
        assert "Be brief." in str(asked["system"])
    api.script("Three", says(write(path, "3\n")))
    await conversation.say("Three", permissionMode="default")
    await conversation.next("prompt")
    await conversation.cancel()
    assert outcome(await conversation.turn()) == "cancelled"
    assert path.read_text() == "2\n"


@pytest.mark.parametrize(
    ("options", "code"),
    [
        ({"permissionMode": "bypassPermissions"}, "UNSUPPORTED"),
        ({"mcpConfig": {"mcpServers": {}}}, "UNSUPPORTED"),
        ({"permissionMode": "anything"}, "INVALID_REQUEST"),
        ({"addDirs": ["/etc"]}, "OUTSIDE_PROJECT_ROOT"),
    ],
)
async def test_what_the_host_does_not_allow_is_refused(chat: Chat, options: dict[str, object], code: str) -> None:
    refused = await chat.refusal("agent_session_new", content="Hello", options=options)
    assert refused.code == code


@pytest.mark.parametrize("name", ["e\u0301 and 🚀.d", "x" * 120 + "/" + "y" * 120], ids=["odd", "long"])
async def test_a_terminals_sessions_are_found_whatever_the_directory_is_called(bench: Bench, name: str) -> None:
    served = AgentServed(bench)
    root = Path(bench.directory, name)
    root.mkdir(parents=True)
    project_id = await asyncio.to_thread(served.machine.add, root)
    session_id = str(uuid4())
    async with MessagesApi.serve(served.api_port) as api, chat_on(served) as phone:
        api.script("Hello", says("Hello to you."))
        arguments = ("-p", "Hello", f"--session-id={session_id}")
        await asyncio.to_thread(run_claude, root, served.claude_home, api.url, *arguments)
        conversation = Conversation(Chat(phone.client, project_id), session_id)
        await phone.client.join(project_id)
        assert (await conversation.listed())["title"] == "Hello"
        api.script("Again", says("And again."))
        await conversation.say("Again")
        await conversation.turn()
        assert texts(await conversation.log()) == ["Hello to you.", "And again."]
