"""Every recording of the real CLI, played to the adapter by a program that writes what the CLI wrote."""

import json
import shlex
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any, Final

import msgspec
import pytest

from host.protocol.messages.agent_events import (
    AgentEvent,
    FileCreated,
    FileEdited,
    PromptAsked,
    PromptResolved,
    ToolResult,
    ToolUse,
    TurnError,
)
from tests.agents.claude.claude_rig import ClaudeRig, done_of
from tests.support.processes import environment

RECORDINGS: Final = Path(__file__).parents[2] / "data" / "claude" / "recordings"
NAMES: Final = sorted(path.stem for path in RECORDINGS.glob("*.jsonl"))
ENDS: Final[dict[str, Any]] = json.loads((RECORDINGS / "ends.json").read_text())
# What is shown of each type of event.
TOLD: Final[dict[str, Sequence[str]]] = {
    "init": ["permissionMode"],
    "text": ["text"],
    "thinking": ["text"],
    "tool_use": ["name"],
    "tool_result": [],
    "file_create": ["path"],
    "file_edit": ["path"],
    "prompt": ["kind", "tool"],
    "prompt_resolved": ["decision"],
    "retry": ["attempt", "reason"],
    "error": ["code"],
    "done": ["reason"],
}
# The message says which recording to play. They were made in /home/dev/proj.
PLAYER: Final = """#!/bin/sh
read -r message
name=$(printf %s "$message" | sed 's/.*"content":"\\([^"]*\\)".*/\\1/')
sed "s|/home/dev/proj|$PWD|g" "$RECORDINGS/$name.jsonl"
[ -e "$HOME/$name" ] && . "$HOME/$name"
exit 0
"""


@pytest.fixture
async def player(tmp_path: Path) -> AsyncIterator[ClaudeRig]:
    program = tmp_path / "claude"
    program.write_text(PLAYER)
    program.chmod(0o755)
    for name, end in ENDS.items():
        last = f"kill -{end['signal']} $$" if "signal" in end else f"exit {end['exitCode']}"
        (tmp_path / name).write_text(f"printf %s {shlex.quote(end['stderr'])} >&2\n{last}\n")
    variables = environment(tmp_path, RECORDINGS=str(RECORDINGS))
    async with ClaudeRig.with_program(tmp_path, program, variables) as rig:
        yield rig


def shown(event: AgentEvent) -> str:
    """An event in a few words."""
    told = msgspec.to_builtins(event)
    words = [told["type"], *(str(told[name])[:40] for name in TOLD[told["type"]])]
    if isinstance(event, ToolResult):
        words.append("failed" if event.is_error else "ok")
    if "parentToolUseId" in told:
        words.append("of a sub-agent")
    return " ".join(words)


EXPECTED: Final[dict[str, Sequence[str]]] = {
    "01_new_text": ["init default", "thinking pondering", "text hello there", "done completed"],
    "04_resume_unknown": ["error SESSION_NOT_FOUND", "done failed"],
    "07_prompt_dash": ["error AGENT_UNAVAILABLE", "done failed"],
    "30_write_default_denied": [
        "init default",
        "text I will write.",
        "tool_use Write",
        "tool_result failed",
        "text All done.",
        "done completed",
    ],
    "40_partial": [
        "init default",
        "thinking let me see",
        "text I will look",
        "tool_use Read",
        "tool_result ok",
        "text All done.",
        "done completed",
    ],
    "44_max_turns": [
        "init default",
        *["tool_use Bash", "tool_result ok"] * 2,
        "error UNKNOWN_ERROR",
        "done failed",
    ],
    "50b_err_401_maxretries1": [
        "init default",
        "retry 1 authentication_failed (HTTP 401)",
        "error AGENT_UNAVAILABLE",
        "done failed",
    ],
    "51_err_529_twice": [
        "init default",
        "retry 1 overloaded (HTTP 529)",
        "retry 2 overloaded (HTTP 529)",
        "text recovered",
        "done completed",
    ],
    "55_cut_midstream": ["init default", "text one two three four five six", "done completed"],
    "55c_cut_after_tool": ["init default", "text hello there", "error UNKNOWN_ERROR", "done failed"],
    "58b_stop_refusal": ["init default", "text no", "error INVALID_REQUEST", "done failed"],
    "59_conn_refused": [
        "init default",
        "retry 1 no answer from the API",
        "error UNKNOWN_ERROR",
        "done failed",
    ],
    "59b_no_key": ["init default", "error AGENT_UNAVAILABLE", "done failed"],
    "61_sigint_bash": [
        "init default",
        "text working",
        "tool_use Bash",
        "tool_result failed",
        "error UNKNOWN_ERROR",
        "done interrupted",
    ],
    "62_sigkill_bash": [
        "init default",
        "text working",
        "tool_use Bash",
        "error UNKNOWN_ERROR",
        "done interrupted",
    ],
    "71_edit": [
        "init acceptEdits",
        "tool_use Read",
        "tool_result ok",
        "tool_use Edit",
        "file_edit e.txt",
        "tool_result ok",
        "tool_use Write",
        "file_edit e.txt",
        "tool_result ok",
        "tool_use Write",
        "file_create sub/new.txt",
        "tool_result ok",
        "text All done.",
        "done completed",
    ],
    "72_agent": [
        "init default",
        "tool_use Agent",
        "tool_use Bash of a sub-agent",
        "tool_result ok",
        "tool_result ok",
        "text parent done",
        "done completed",
    ],
    "72b_agent_bg": [
        "init default",
        "tool_use Task",
        "tool_result ok",
        "text parent done",
        "text All done.",
        "done completed",
    ],
    "76d_slash_clear": ["init default", "done completed"],
    "106_exit_plan_mode": [
        "init plan",
        "text planning",
        "tool_use Write",
        "file_create /home/dev/home/.claude/plans/text-planni",
        "tool_result ok",
        "tool_use ExitPlanMode",
        "prompt plan ExitPlanMode",
        "tool_result failed",
        "text hmm ok",
        "tool_use ExitPlanMode",
        "prompt plan ExitPlanMode",
        "tool_result ok",
        "tool_use Write",
        "prompt permission Write",
        "file_create plan1.txt",
        "tool_result ok",
        "text All done.",
        "init default",
        "text after",
        "prompt_resolved interrupted",
        "prompt_resolved interrupted",
        "prompt_resolved interrupted",
        "done completed",
    ],
    "132_sigint_pending_permission": [
        "init default",
        "text will write",
        "tool_use Write",
        "prompt permission Write",
        "prompt_resolved withdrawn",
        "tool_result failed",
        "error UNKNOWN_ERROR",
        "done interrupted",
    ],
    "131_sigterm_pending_permission": [
        "init default",
        "text will write",
        "tool_use Write",
        "prompt permission Write",
        "prompt_resolved interrupted",
        "error UNKNOWN_ERROR",
        "done interrupted",
    ],
    "137_bg_finish_idle": [
        "init default",
        "tool_use Bash",
        "tool_result ok",
        "text bg started",
        "text All done.",
        "done completed",
    ],
    "157_prompt_block": ["init default", "error INVALID_REQUEST", "done failed"],
    "180_subagent_permission": [
        "init default",
        "tool_use Agent",
        "tool_use Write of a sub-agent",
        "prompt permission Write",
        "file_create hk6.txtc",
        "tool_result ok",
        "tool_result ok",
        "text parent",
        "prompt_resolved interrupted",
        "done completed",
    ],
}


@pytest.mark.parametrize("name", EXPECTED)
async def test_a_recording_becomes_the_contracts_events(player: ClaudeRig, name: str) -> None:
    events = await player.run(player.order(name), lambda _: None)
    assert [shown(event) for event in events] == EXPECTED[name]


@pytest.mark.slow
async def test_whatever_the_cli_did_its_turn_makes_sense(player: ClaudeRig) -> None:
    for name in NAMES:
        events = await player.run(player.order(name), lambda _: None)
        _check_order(name, events)
        assert done_of(events).reason == _expected_reason(name), name


def _check_order(name: str, events: Sequence[AgentEvent]) -> None:
    asked = [event.prompt_id for event in events if isinstance(event, PromptAsked)]
    resolved = [event.prompt_id for event in events if isinstance(event, PromptResolved)]
    assert Counter(asked) == Counter(resolved), name
    used: set[str] = set()
    for event in events:
        if isinstance(event, ToolUse):
            used.add(event.tool_use_id)
        # In 16x a tool was put off by one process and run by the next.
        elif isinstance(event, FileCreated | FileEdited | ToolResult) and not name.startswith("16"):
            assert event.tool_use_id in used, name
    errors = [event for event in events if isinstance(event, TurnError)]
    assert len(errors) == (done_of(events).reason != "completed"), name
    assert all("diagnostic" not in error.message for error in errors), name


def _expected_reason(name: str) -> str:
    """From the raw recording, in another way than the adapter does."""
    lines = [json.loads(line) for line in (RECORDINGS / f"{name}.jsonl").read_text().split("\n") if line]
    kinds = [line["type"] if line["type"] != "system" else line["subtype"] for line in lines]
    end = ENDS.get(name, {"exitCode": 0})
    if "result" not in kinds or ("init" in kinds and "result" not in kinds[_last(kinds, "init") :]):
        return "failed" if end.get("exitCode") in {0, 1} and "init" not in kinds else "interrupted"
    result = lines[_last(kinds, "result")]
    if "aborted" in str(result.get("terminal_reason")):
        return "interrupted"
    is_blocked = any(line.get("prevent_continuation") for line in lines)
    return "failed" if result["is_error"] or is_blocked else "completed"


def _last(kinds: Sequence[str], kind: str) -> int:
    return len(kinds) - 1 - kinds[::-1].index(kind)
