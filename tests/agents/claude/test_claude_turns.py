"""Turns of the real CLI."""

import base64
import json
import os
import signal
import struct
import uuid
import zlib
from pathlib import Path
from typing import Any, Final

import psutil  # type: ignore[import-untyped]
import pytest

from host.protocol.errors import AgentUnavailable, ErrorCode, ProjectRootGone
from host.protocol.messages.agent_events import (
    FileCreated,
    FileEdited,
    PromptAsked,
    PromptResolved,
    Retry,
    Text,
    TextDelta,
    Thinking,
    ToolResult,
    ToolUse,
    TurnBegan,
    TurnError,
)
from host.protocol.messages.agents import Content, ImageBlock, TextBlock
from tests.agents.claude.claude_rig import ClaudeRig, done_of
from tests.support.claude_cli import CLI_VERSION
from tests.support.messages_api import MessagesApi, bash, refuses, says, subagent, text, thinking, tool, write
from tests.support.processes import processes_below

pytestmark = pytest.mark.slow

FREE: Final[dict[str, Any]] = {"allowed_tools": ["Bash", "Write"]}


def png() -> bytes:
    """One white pixel."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack("!I", len(content)) + kind + content + struct.pack("!I", zlib.crc32(kind + content))

    header = struct.pack("!IIBBBBB", 1, 1, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + chunk(b"IDAT", zlib.compress(b"\0" + b"\xff" * 3))
        + chunk(b"IEND", b"")
    )


async def test_a_turn_tells_what_the_agent_thinks_and_says(claude: ClaudeRig, api: MessagesApi) -> None:
    api.script("Hello", says(thinking("Polite."), "Hello to you"))
    began, thought, said, done = await claude.run(claude.order("Hello", model="haiku", permission_mode="plan"))
    assert isinstance(began, TurnBegan)
    assert (began.permission_mode, began.cwd) == ("plan", os.path.realpath(claude.root))
    assert "haiku" in began.model
    assert "Bash" in began.tools
    assert (thought, said) == (Thinking(text="Polite."), Text(text="Hello to you"))
    assert done_of([done]).reason == "completed"
    assert done_of([done]).usage == {
        "inputTokens": 10,
        "outputTokens": 5,
        "cacheReadInputTokens": 0,
        "cacheCreationInputTokens": 0,
    }


async def test_a_text_comes_in_pieces_before_it_comes_whole(claude: ClaudeRig, api: MessagesApi) -> None:
    api.script("Go", says("one two three"))
    async with await claude.agent.start(claude.order("Go")) as turn:
        events = [event async for event in turn]
    pieces = [event.text for event in events if isinstance(event, TextDelta)]
    assert pieces == ["one", " two", " three"]
    assert events.index(Text(text="one two three")) > events.index(TextDelta(text=" three"))


async def test_the_next_turn_goes_on_with_the_session(claude: ClaudeRig, api: MessagesApi) -> None:
    api.script("First", says("one"))
    api.script("Second", says("two"))
    await claude.run(claude.order("First"))
    await claude.run(claude.order("Second"))
    (body,) = api.asked("Second")
    assert [message["role"] for message in body["messages"]].count("assistant") == 1


async def test_a_session_that_was_to_be_made_and_is_there_is_gone_on_with(claude: ClaudeRig, api: MessagesApi) -> None:
    api.script("First", says("one"))
    api.script("Again", says("two"))
    await claude.run(claude.order("First"))
    claude.turns = 0
    assert Text(text="two") in await claude.run(claude.order("Again"))


async def test_a_message_is_never_worked_on_twice(claude: ClaudeRig, api: MessagesApi) -> None:
    api.script("Once", says("done"))
    turn_id = str(uuid.uuid4())
    await claude.run(claude.order("Once", turn_id=turn_id))
    events = await claude.run(claude.order("Once", turn_id=turn_id))
    assert done_of(events).reason == "interrupted"
    assert len(api.asked("Once")) == 1


async def test_a_lost_session_is_not_begun_anew(claude: ClaudeRig) -> None:
    claude.turns = 1
    error, done = await claude.run(claude.order("Hello"))
    assert isinstance(error, TurnError)
    assert (error.code, done_of([done]).reason) == (ErrorCode.SESSION_NOT_FOUND, "failed")


async def test_changes_of_files_are_told_with_their_difference(claude: ClaudeRig, api: MessagesApi) -> None:
    path = claude.root / "src" / "a.txt"
    edit = tool("Edit", file_path=str(path), old_string="one", new_string="two")
    api.script("Go", says(write(path, "one\n")), says(edit), says("ok"))
    events = await claude.run(claude.order("Go", permission_mode="acceptEdits"))
    created = next(event for event in events if isinstance(event, FileCreated))
    edited = next(event for event in events if isinstance(event, FileEdited))
    assert (created.path, edited.path) == ("src/a.txt", "src/a.txt")
    assert edited.patch == [{"oldStart": 1, "oldLines": 1, "newStart": 1, "newLines": 1, "lines": ["-one", "+two"]}]
    assert path.read_text() == "two\n"


async def test_lines_of_megabytes_go_through(claude: ClaudeRig, api: MessagesApi) -> None:
    path = claude.root / "big.txt"
    path.write_text("a" * 3_000_000)
    # The CLI overwrites only what it has read, and tells what it was before.
    api.script("Go", says(tool("Read", file_path=str(path), limit=1)), says(write(path, "b\n")), says("ok"))
    events = await claude.run(claude.order("Go", permission_mode="acceptEdits"))
    (edited,) = [event for event in events if isinstance(event, FileEdited)]
    assert len(edited.patch[0]["lines"][0]) > 3_000_000
    assert done_of(events).reason == "completed"


async def test_images_and_texts_reach_the_model(claude: ClaudeRig, api: MessagesApi) -> None:
    api.script("What is it?", says("White."))
    data = base64.b64encode(png()).decode()
    content: Content = [
        ImageBlock(type="image", media_type="image/png", data=data),
        TextBlock(type="text", text="What is it?"),
    ]
    assert Text(text="White.") in await claude.run(claude.order(content))
    (body,) = api.asked("What is it?")
    images = [block for message in body["messages"] for block in message["content"] if "source" in block]
    assert images[0]["source"] == {"type": "base64", "media_type": "image/png", "data": data}


async def test_a_message_that_looks_like_an_option_is_a_message(claude: ClaudeRig, api: MessagesApi) -> None:
    api.script("--help", says("Help."))
    assert Text(text="Help.") in await claude.run(claude.order("--help"))


async def test_slash_commands_work(claude: ClaudeRig) -> None:
    events = await claude.run(claude.order("/context"))
    assert any(isinstance(event, Text) and "Context Usage" in event.text for event in events)
    assert done_of(events).reason == "completed"


async def test_clearing_says_that_it_has_no_effect(claude: ClaudeRig, api: MessagesApi) -> None:
    api.script("Hello", says("Hi"))
    await claude.run(claude.order("Hello"))
    events = await claude.run(claude.order("/clear"))
    assert [event.code for event in events if isinstance(event, TurnError)] == [ErrorCode.UNSUPPORTED]


async def test_what_a_sub_agent_does_is_told_as_its_own(claude: ClaudeRig, api: MessagesApi) -> None:
    path = claude.root / "part.txt"
    api.script("Go", says(subagent("The part")), says("It is done."))
    api.script("The part", says("Gladly.", write(path, "x")), says("Part done"))
    events = await claude.run(claude.order("Go", **FREE))
    agent, used = [event for event in events if isinstance(event, ToolUse)]
    assert used.parent_tool_use_id == agent.tool_use_id
    assert [event.text for event in events if isinstance(event, Text)] == ["It is done."]
    assert any(isinstance(event, FileCreated) and event.path == "part.txt" for event in events)


async def test_a_sub_agent_in_the_background_is_waited_for_and_may_ask(claude: ClaudeRig, api: MessagesApi) -> None:
    part = tool(
        "Agent", description="A part", prompt="The part", subagent_type="general-purpose", run_in_background=True
    )
    api.script("Go", says(part), says("It works on it."), says("It has done it."))
    api.script("The part", says(write(claude.root / "part.txt", "x"), pause_s=0.1), says("Part done", pause_s=0.1))
    events = await claude.run(claude.order("Go"))
    said = [event for event in events if isinstance(event, Text | PromptAsked | FileCreated)]
    assert [type(event) for event in said] == [Text, PromptAsked, FileCreated, Text]
    assert done_of(events).reason == "completed"


async def test_a_command_in_the_background_may_end_and_be_told(claude: ClaudeRig, api: MessagesApi) -> None:
    api.script("Go", says(bash("sleep 0.5", in_background=True)), says("It runs."), says("It is done."))
    events = await claude.run(claude.order("Go", **FREE))
    assert [event.text for event in events if isinstance(event, Text)] == ["It runs.", "It is done."]


async def test_what_the_agent_left_running_is_ended_with_the_turn(
    claude: ClaudeRig, api: MessagesApi, tmp_path: Path
) -> None:
    api.script("Go", says(bash("setsid sleep 1000 >/dev/null 2>&1 & echo")), says("ok"))
    await claude.run(claude.order("Go", **FREE))
    assert processes_below(tmp_path) == {}


async def test_failing_tools_are_told_as_failed(claude: ClaudeRig, api: MessagesApi) -> None:
    api.script("Go", says(bash("exit 3")), says("ok"))
    events = await claude.run(claude.order("Go", **FREE))
    (result,) = [event for event in events if isinstance(event, ToolResult)]
    assert result.is_error


async def test_an_overloaded_api_is_told_while_it_is_tried_again(claude: ClaudeRig, api: MessagesApi) -> None:
    api.script("Go", refuses(529), says("ok"))
    events = await claude.run(claude.order("Go"))
    (retry,) = [event for event in events if isinstance(event, Retry)]
    assert (retry.attempt, retry.reason) == (1, "overloaded (HTTP 529)")
    assert done_of(events).reason == "completed"


@pytest.mark.parametrize(
    ("status", "code"),
    [(401, ErrorCode.AGENT_UNAVAILABLE), (400, ErrorCode.UNKNOWN_ERROR), (404, ErrorCode.INVALID_REQUEST)],
)
async def test_a_refusing_api_ends_the_turn_with_its_words(
    claude: ClaudeRig, api: MessagesApi, status: int, code: ErrorCode
) -> None:
    api.script("Go", *[refuses(status)] * 4)
    events = await claude.run(claude.order("Go"))
    (error,) = [event for event in events if isinstance(event, TurnError)]
    assert (error.code, done_of(events).reason) == (code, "failed")
    assert ("/login" in error.message) == (status == 401)


async def test_a_text_whose_connection_is_cut_comes_whole_all_the_same(claude: ClaudeRig, api: MessagesApi) -> None:
    api.script("Go", says("never seen to its end", cut=True), says(text("the whole text")))
    events = await claude.run(claude.order("Go"))
    assert [event.text for event in events if isinstance(event, Text)] == ["the whole text"]


async def test_a_cli_that_is_killed_interrupts_its_turn(claude: ClaudeRig, api: MessagesApi, tmp_path: Path) -> None:
    api.script("Go", says(write(claude.root / "a", "x")))

    def kill(_: PromptAsked) -> None:
        for pid, arguments in processes_below(tmp_path).items():
            if "--print" in arguments:
                psutil.Process(pid).send_signal(signal.SIGKILL)

    events = await claude.run(claude.order("Go"), kill)
    *_, resolved, error, done = events
    assert isinstance(resolved, PromptResolved)
    assert isinstance(error, TurnError)
    assert (resolved.decision, done_of([done]).reason) == ("interrupted", "interrupted")
    assert "SIGKILL" in error.message


async def test_a_program_that_is_not_there_is_said_before_the_turn(tmp_path: Path) -> None:
    async with ClaudeRig.with_program(tmp_path, tmp_path / "claude", {"HOME": str(tmp_path)}) as rig:
        with pytest.raises(AgentUnavailable, match="POCKETCODER_CLAUDE"):
            await rig.run(rig.order("Hello"))
        status = await rig.agent.status()
        assert status.version is None
        assert "POCKETCODER_CLAUDE" in (status.problem or "")


async def test_a_root_that_is_gone_is_said_before_the_turn(claude: ClaudeRig) -> None:
    claude.root.rmdir()
    with pytest.raises(ProjectRootGone):
        await claude.run(claude.order("Hello"))


async def test_its_state_and_its_offer_are_told(claude: ClaudeRig) -> None:
    status = await claude.agent.status()
    assert (status.version, status.is_signed_in, status.problem) == (CLI_VERSION, True, None)
    offer = await claude.agent.capabilities(claude.root)
    assert offer.version == CLI_VERSION
    assert "default" in [model.value for model in offer.models]
    assert "compact" in [command.name for command in offer.commands]
    assert "bypassPermissions" not in offer.permission_modes


async def test_a_look_at_the_cli_is_kept_for_a_while(claude: ClaudeRig) -> None:
    now_s = 0.0
    claude.agent.monotonic_s = lambda: now_s
    first = await claude.agent.capabilities(claude.root)
    now_s = 299.0
    assert await claude.agent.capabilities(claude.root) is first
    now_s = 300.0
    assert await claude.agent.capabilities(claude.root) is not first


async def test_asking_what_it_offers_runs_no_hook_of_the_project(
    claude: ClaudeRig, api: MessagesApi, tmp_path: Path
) -> None:
    hook = {"hooks": [{"type": "command", "command": f"touch {tmp_path / 'hooked'}"}]}
    settings = claude.root / ".claude" / "settings.json"
    settings.parent.mkdir()
    settings.write_text(json.dumps({"hooks": {"SessionStart": [hook]}}))
    assert (await claude.agent.capabilities(claude.root)).commands
    assert not (tmp_path / "hooked").exists()
    api.script("Go", says("ok"))
    await claude.run(claude.order("Go"))
    assert (tmp_path / "hooked").exists()
