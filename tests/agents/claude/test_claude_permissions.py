"""What the real CLI does with the user's answers. Its directory is one that nobody has called trusted."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import pytest

from host.agents.port import PromptAnswer
from host.protocol.messages.agent_events import AgentEvent, PromptAsked, PromptResolved, Text, ToolResult, TurnBegan
from tests.agents.claude.claude_rig import ALLOW, ClaudeRig, done_of
from tests.support.messages_api import MessagesApi, ask, bash, plan, question, says, tool, write

pytestmark = pytest.mark.slow

ALWAYS: Final = PromptAnswer("allow_always")


def asked(events: Sequence[AgentEvent]) -> list[Any]:
    """The inputs that were asked about."""
    return [event.input for event in events if isinstance(event, PromptAsked)]


def results(events: Sequence[AgentEvent]) -> list[str]:
    return [str(event.content) for event in events if isinstance(event, ToolResult)]


def rules_of(claude: ClaudeRig, events: Sequence[AgentEvent]) -> list[str]:
    """What an "always allow" of all that was asked leaves for later turns."""
    return [
        rule
        for event in events
        if isinstance(event, PromptAsked)
        for rule in claude.agent.rules_of(event.suggestions or None)
    ]


async def test_yes_lets_the_tool_run_and_no_does_not(claude: ClaudeRig, api: MessagesApi) -> None:
    files = [claude.root / "yes.txt", claude.root / "no.txt"]
    api.script("Go", *[says(write(file, "x")) for file in files], says("ok"))

    def answer(prompt: PromptAsked) -> PromptAnswer:
        is_wanted = prompt.input["file_path"] == str(files[0])
        return ALLOW if is_wanted else PromptAnswer("deny", message="Not this one.")

    events = await claude.run(claude.order("Go"), answer)
    assert [file.exists() for file in files] == [True, False]
    assert results(events)[1] == "Not this one."
    assert done_of(events).reason == "completed"


async def test_a_changed_input_is_what_runs(claude: ClaudeRig, api: MessagesApi) -> None:
    api.script("Go", says(bash("touch asked")), says("ok"))
    changed = PromptAnswer("allow", updated_input={"command": "touch changed"})
    await claude.run(claude.order("Go"), lambda _: changed)
    assert [path.name for path in claude.root.iterdir()] == ["changed"]


async def test_always_holds_in_this_turn_and_in_the_next(claude: ClaudeRig, api: MessagesApi) -> None:
    api.script("Go", says(bash("mkdir a b")), says(bash("mkdir a c")), says("ok"))
    api.script("Again", says(bash("mkdir a d")), says("ok"))
    events = await claude.run(claude.order("Go"), lambda _: ALWAYS)
    assert len(asked(events)) == 1
    allowed = rules_of(claude, events)
    assert asked(await claude.run(claude.order("Again", allowed=allowed))) == []
    assert (claude.root / "d").is_dir()


async def test_a_rule_for_one_command_lets_no_other_pass_with_it(
    claude: ClaudeRig, api: MessagesApi, tmp_path: Path
) -> None:
    victim = tmp_path / "victim"
    victim.mkdir()
    tricks = [
        f"git status; rm -rf {victim}",
        f"git status && rm -rf {victim}",
        f"git status $(rm -rf {victim})",
        f"git status | xargs rm -rf {victim}",
        f"git status & rm -rf {victim}",
        f"git status > {victim}/out",
        f"git status\nrm -rf {victim}",
    ]
    api.script("Go", says(*map(bash, tricks)), says("ok"))
    allowed = ["Bash(git status)", "Bash(git status *)"]
    events = await claude.run(claude.order("Go", allowed=allowed), lambda _: PromptAnswer("deny"))
    assert sorted(tool_input["command"] for tool_input in asked(events)) == sorted(tricks)
    assert list(tmp_path.glob("victim/*")) == []
    assert victim.is_dir()


async def test_a_command_that_has_no_name_of_its_own_is_remembered_as_it_is(
    claude: ClaudeRig, api: MessagesApi
) -> None:
    command = "echo $(printf '(%s)' a) > out.txt\ncat out.txt"
    api.script("Go", says(bash(command)), says("ok"))
    api.script("Again", says(bash(command)), says(bash(command + "; touch more")), says("ok"))
    allowed = rules_of(claude, await claude.run(claude.order("Go"), lambda _: ALWAYS))
    events = await claude.run(claude.order("Again", allowed=allowed), lambda _: PromptAnswer("deny"))
    assert [tool_input["command"] for tool_input in asked(events)] == [command + "; touch more"]


async def test_always_for_an_edit_covers_the_project_and_nothing_else(
    claude: ClaudeRig, api: MessagesApi, tmp_path: Path
) -> None:
    inside, outside = claude.root / "src" / "b.txt", tmp_path / "c.txt"
    sensitive = claude.root / ".git" / "hooks" / "pre-commit"
    (claude.root / "link").symlink_to(tmp_path)
    linked = claude.root / "link" / "e.txt"
    api.script("Go", says(write(claude.root / "a.txt", "x")), says(write(inside, "x")), says("ok"))
    written = [claude.root / "d.txt", outside, sensitive, linked]
    api.script("Again", says(*[write(file, "x") for file in written]), says("ok"))
    events = await claude.run(claude.order("Go"), lambda _: ALWAYS)
    assert len(asked(events)) == 1
    again = await claude.run(claude.order("Again", allowed=rules_of(claude, events)), lambda _: PromptAnswer("deny"))
    assert {tool_input["file_path"] for tool_input in asked(again)} == {str(outside), str(sensitive), str(linked)}
    assert inside.exists()
    assert not outside.exists()


async def test_always_for_a_file_elsewhere_covers_that_file_alone(
    claude: ClaudeRig, api: MessagesApi, tmp_path: Path
) -> None:
    one, other = tmp_path / "one (1).txt", tmp_path / "other.txt"
    api.script("Go", says(write(one, "x")), says(write(other, "x")), says("ok"))
    api.script("Again", says(write(tmp_path / "one (1).txt", "y")), says("ok"))
    events = await claude.run(
        claude.order("Go"), lambda prompt: ALWAYS if "one" in prompt.input["file_path"] else PromptAnswer("deny")
    )
    assert len(asked(events)) == 2
    one.unlink()
    assert asked(await claude.run(claude.order("Again", allowed=rules_of(claude, events)[:1]))) == []
    assert one.exists()


async def test_always_for_reading_a_file_elsewhere_covers_that_file_alone(
    claude: ClaudeRig, api: MessagesApi, tmp_path: Path
) -> None:
    one, other = tmp_path / "one.txt", tmp_path / "other.txt"
    for file in (one, other):
        file.write_text(file.name)
    api.script("Go", says(tool("Read", file_path=str(one))), says("ok"))
    api.script("Again", says(tool("Read", file_path=str(one)), tool("Read", file_path=str(other))), says("ok"))
    allowed = rules_of(claude, await claude.run(claude.order("Go"), lambda _: ALWAYS))
    events = await claude.run(claude.order("Again", allowed=allowed), lambda _: PromptAnswer("deny"))
    assert asked(events) == [{"file_path": str(other)}]


async def test_several_prompts_wait_at_once_and_may_be_answered_in_any_order(
    claude: ClaudeRig, api: MessagesApi, tmp_path: Path
) -> None:
    secrets = [tmp_path / name for name in ("a", "b", "c")]
    for secret in secrets:
        secret.write_text(secret.name)
    api.script("Go", says(*[tool("Read", file_path=str(secret)) for secret in secrets]), says("ok"))
    waiting: list[str] = []
    read: list[ToolResult] = []
    async with await claude.agent.start(claude.order("Go")) as turn:
        async for event in turn:
            if isinstance(event, PromptAsked):
                waiting.append(event.prompt_id)
                if len(waiting) == len(secrets):
                    for prompt_id in reversed(waiting):
                        await turn.answer(prompt_id, ALLOW)
            elif isinstance(event, ToolResult):
                read.append(event)
    assert len(read) == len(secrets)
    assert not any(result.is_error for result in read)


async def test_an_answer_that_nobody_waits_for_does_nothing(claude: ClaudeRig, api: MessagesApi) -> None:
    api.script("Go", says(write(claude.root / "a", "x")), says("ok"))
    async with await claude.agent.start(claude.order("Go")) as turn:
        async for event in turn:
            if isinstance(event, PromptAsked):
                await turn.answer("another", ALLOW)
                await turn.answer(event.prompt_id, PromptAnswer("deny"))
                await turn.answer(event.prompt_id, ALLOW)
    assert not (claude.root / "a").exists()


async def test_questions_are_answered_with_one_several_or_own_words(claude: ClaudeRig, api: MessagesApi) -> None:
    questions = (
        question("Which colour?", "Red", "Blue"),
        question("Which fruits?", "Apple", "Pear", "Plum", several=True),
        question("Which name?", "A", "B"),
    )
    api.script("Go", says(ask(*questions)), says("ok"))
    answers = {"Which colour?": "Blue", "Which fruits?": ["Apple", "Plum"], "Which name?": "My own"}
    events = await claude.run(claude.order("Go"), lambda _: PromptAnswer("allow", answers=answers))
    (prompt,) = [event for event in events if isinstance(event, PromptAsked)]
    assert (prompt.kind, [one["question"] for one in prompt.questions]) == ("question", list(answers))
    (result,) = results(events)
    for words in ('"Which colour?"="Blue"', '"Which fruits?"="Apple, Plum"', '"Which name?"="My own"'):
        assert words in result


async def test_a_plan_is_sent_back_and_then_approved_with_another_mode(claude: ClaudeRig, api: MessagesApi) -> None:
    new = claude.root / "new.txt"
    api.script("Go", says(plan("# One")), says(plan("# Two")), says(write(new, "x")), says("ok"))
    answers = iter(
        [PromptAnswer("deny", message="Also step two."), PromptAnswer("allow", permission_mode="acceptEdits")]
    )
    events = await claude.run(claude.order("Go", permission_mode="plan"), lambda _: next(answers))
    prompts = [event for event in events if isinstance(event, PromptAsked)]
    assert [(prompt.kind, prompt.plan) for prompt in prompts] == [("plan", "# One"), ("plan", "# Two")]
    assert results(events)[0] == "Also step two."
    assert "approved your plan" in results(events)[1]
    assert new.exists(), "With acceptEdits nobody is asked."


async def test_tools_that_are_refused_by_an_option_are_not_asked_about(claude: ClaudeRig, api: MessagesApi) -> None:
    api.script("Go", says(write(claude.root / "a", "x")), says("ok"))
    events = await claude.run(claude.order("Go", permission_mode="dontAsk"))
    assert asked(events) == []
    assert not (claude.root / "a").exists()


async def test_a_prompt_of_a_cancelled_turn_is_withdrawn(claude: ClaudeRig, api: MessagesApi) -> None:
    api.script("Go", says("First words", write(claude.root / "a", "x")))
    events = await claude.run(claude.order("Go"), lambda _: None, cancel_at=PromptAsked)
    (resolved,) = [event for event in events if isinstance(event, PromptResolved)]
    assert resolved.decision == "withdrawn"
    assert done_of(events).reason == "cancelled"
    assert Text(text="First words") in events
    assert not any(isinstance(event, TurnBegan) for event in events[1:])


@pytest.mark.parametrize("name", ["settings.json", "settings.local.json"])
async def test_a_project_cannot_allow_itself_everything(tmp_path: Path, api: MessagesApi, name: str) -> None:
    # The CLI refuses that mode to root, but not in a sandbox.
    async with ClaudeRig.with_claude(tmp_path, api.url, IS_SANDBOX="1") as claude:
        settings = claude.root / ".claude" / name
        settings.parent.mkdir()
        permissions = {"defaultMode": "bypassPermissions", "disableBypassPermissionsMode": "", "allow": ["Bash"]}
        settings.write_text(json.dumps({"permissions": permissions}))
        api.script("Go", says(bash("touch unasked")), says("ok"))
        events = await claude.run(claude.order("Go"), lambda _: PromptAnswer("deny"))
    assert len(asked(events)) == 1
    assert not (claude.root / "unasked").exists()
