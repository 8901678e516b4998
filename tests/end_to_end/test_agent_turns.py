"""Turns of the real Claude Code, from a phone: what it says and does, and how a turn ends."""

import base64
import zlib
from typing import Final

import pytest

from tests.end_to_end.chat import AgentServed, Chat, kinds, only, outcome, texts
from tests.support.messages_api import MessagesApi, bash, refuses, says, subagent, thinking, tool, write

pytestmark = pytest.mark.slow

WRITES_FREELY: Final = {"permissionMode": "acceptEdits"}


async def test_a_message_is_answered(chat: Chat, api: MessagesApi, agent_served: AgentServed) -> None:
    api.script("Say hello", says(thinking("Hm."), "Hello to you."))
    conversation = await chat.begin("Say hello")
    turn = await conversation.turn()
    assert kinds(turn) == ["user", "init", "thinking", "text", "done"]
    assert turn[0]["content"] == "Say hello"
    assert only(turn, "init")["cwd"] == str(agent_served.root)
    assert texts(turn) == ["Hello to you."]
    assert outcome(turn) == "completed"
    assert turn[-1]["usage"]["outputTokens"] == 5
    deltas = [event for event in chat.heard if event["type"] == "text_delta"]
    assert "".join(event["text"] for event in deltas) == "Hello to you."
    assert all("seq" not in event for event in deltas)
    live = [event for event in chat.heard if event["type"] != "text_delta"]
    assert live == turn
    listed = await conversation.listed()
    assert (listed["title"], listed["state"], listed["source"]) == ("Say hello", "idle", "pocketcoder")


async def test_a_conversation_goes_on_with_what_was_said(chat: Chat, api: MessagesApi) -> None:
    api.script("My name is Ada", says("Hello, Ada."))
    conversation = await chat.begin("My name is Ada")
    await conversation.turn()
    api.script("-p --help 'what' is my name?", says("Ada."))
    assert await conversation.say("-p --help 'what' is my name?") == {
        "turnId": conversation.turn_id,
        "queued": False,
        "position": 0,
    }
    assert texts(await conversation.turn()) == ["Ada."]
    (asked,) = api.asked("-p --help 'what' is my name?")
    assert "Hello, Ada." in str(asked["messages"])


async def test_a_changed_file_is_told_with_its_patch(chat: Chat, api: MessagesApi, agent_served: AgentServed) -> None:
    made, changed = agent_served.root / "lamp.py", agent_served.root / "README.md"
    api.script(
        "Make a lamp",
        says(write(made, "on = True\n"), bash(f"cat {changed}")),
        says(write(made, "on = False\n")),
        says("Made."),
    )
    conversation = await chat.begin("Make a lamp", **WRITES_FREELY)
    turn = await conversation.turn()
    assert outcome(turn) == "completed"
    created, edited = only(turn, "file_create"), only(turn, "file_edit")
    assert created["path"] == edited["path"] == "lamp.py"
    assert edited["patch"][0]["lines"] == ["-on = True", "+on = False"]
    assert made.read_text() == "on = False\n"


async def test_a_sub_agents_tools_are_told_under_the_tool_that_began_it(chat: Chat, api: MessagesApi) -> None:
    api.script("Look around", says(subagent("Look into the files")), says("It found two."))
    api.script("Look into the files", says(bash("ls")), says("Two files."))
    turn = await (await chat.begin("Look around")).turn()
    agent, ls = [event for event in turn if event["type"] == "tool_use"]
    assert "parentToolUseId" not in agent
    assert (ls["name"], ls["parentToolUseId"]) == ("Bash", agent["toolUseId"])
    assert texts(turn) == ["It found two."]
    assert outcome(turn) == "completed"


async def test_lines_of_megabytes_pass(chat: Chat, api: MessagesApi, agent_served: AgentServed) -> None:
    path = agent_served.root / "large.txt"
    path.write_text("old line\n" * 200_000)
    api.script(
        "Write much",
        says(tool("Read", file_path=str(path), limit=1)),
        says(write(path, "new line\n" * 200_000)),
        says("x" * 300_000),
    )
    conversation = await chat.begin("Write much", permissionMode="default")
    prompt = await conversation.next("prompt")
    assert prompt["truncated"] is True
    await conversation.answer(prompt, "allow")
    turn = await conversation.turn()
    assert outcome(turn) == "completed"
    assert path.read_text() == "new line\n" * 200_000
    assert only(turn, "text")["truncated"] is True
    assert all(len(str(event)) < 300_000 for event in turn)


async def test_an_image_reaches_the_agent(chat: Chat, api: MessagesApi) -> None:
    image = base64.b64encode(png()).decode()
    api.script("What is it?", says("A dot."))
    content = [{"type": "image", "mediaType": "image/png", "data": image}, {"type": "text", "text": "What is it?"}]
    turn = await (await chat.begin(content)).turn()
    assert outcome(turn) == "completed"
    assert turn[0]["content"] == content
    (asked,) = api.asked("What is it?")
    assert "'type': 'image'" in str(asked["messages"])


async def test_a_slash_command_is_run_by_the_agent(chat: Chat, api: MessagesApi) -> None:
    turn = await (await chat.begin("/cost")).turn()
    assert outcome(turn) == "completed"
    assert "Total cost" in texts(turn)[0]


async def test_what_runs_in_the_background_keeps_the_turn_open(chat: Chat, api: MessagesApi) -> None:
    in_background = bash("sleep 0.5; echo built", in_background=True)
    api.script("Build", says(in_background), says("It builds."), says("It is built."))
    conversation = await chat.begin("Build", allowedTools=["Bash"])
    turn = await conversation.turn()
    assert texts(turn) == ["It builds.", "It is built."]
    assert outcome(turn) == "completed"


@pytest.mark.parametrize(
    ("status", "code"),
    [(401, "AGENT_UNAVAILABLE"), (429, "RATE_LIMITED"), (529, "UNKNOWN_ERROR"), (404, "INVALID_REQUEST")],
)
async def test_a_failure_of_the_api_is_told_and_the_session_goes_on(
    chat: Chat, api: MessagesApi, status: int, code: str
) -> None:
    prompt = f"Fail with {status}"
    api.script(prompt, *[refuses(status, retry_after_s=0)] * 3)
    conversation = await chat.begin(prompt)
    turn = await conversation.turn()
    assert outcome(turn) == "failed"
    error = only(turn, "error")
    assert error["code"] == code
    assert error["message"].endswith((".", "!"))
    if status in (429, 529):
        assert only(turn, "retry")["attempt"] == 1
    assert (await chat.attention("failed"))["agentSessionId"] == conversation.session_id
    api.script("Again", says("Now it works."))
    await conversation.say("Again")
    assert texts(await conversation.turn()) == ["Now it works."]


async def test_a_stream_that_was_cut_is_tried_again_and_told_once(chat: Chat, api: MessagesApi) -> None:
    api.script("Tell me", says("The story begins", cut=True), says("The story begins and ends."))
    turn = await (await chat.begin("Tell me")).turn()
    assert texts(turn) == ["The story begins and ends."]
    assert outcome(turn) == "completed"


def png() -> bytes:
    """One black dot."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return len(data).to_bytes(4, "big") + kind + data + zlib.crc32(kind + data).to_bytes(4, "big")

    header = (1).to_bytes(4, "big") * 2 + bytes([8, 0, 0, 0, 0])
    pixels = zlib.compress(b"\0\0")
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")
