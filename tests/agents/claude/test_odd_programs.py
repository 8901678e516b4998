"""What calls itself claude may do anything: the turn ends all the same, says so, and leaves nothing."""

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Final

import pytest

from host.agents.port import PromptAnswer
from host.protocol.errors import AgentUnavailable, ErrorCode
from host.protocol.limits import MIB
from host.protocol.messages.agent_events import AgentEvent, PromptAsked, Text, TurnBegan, TurnError
from tests.agents.claude.claude_rig import ClaudeRig, done_of
from tests.support.processes import environment, processes_below

INIT: Final = '{"type":"system","subtype":"init","model":"m","tools":[]}'
SAYS: Final = '{"type":"assistant","message":{"content":[{"type":"text","text":"hello"}]}}'
RESULT: Final = '{"type":"result","is_error":false,"terminal_reason":"completed"}'

Odd = Callable[[str], AbstractAsyncContextManager[ClaudeRig]]


@pytest.fixture
def odd(tmp_path: Path) -> Odd:
    """A rig whose CLI is a shell script."""

    def make(script: str) -> AbstractAsyncContextManager[ClaudeRig]:
        program = tmp_path / "claude"
        program.write_text(f"#!/bin/sh\n{script}\n")
        program.chmod(0o755)
        return ClaudeRig.with_program(tmp_path, program, environment(tmp_path))

    return make


async def turn_of(script: str, odd: Odd) -> list[AgentEvent]:
    async with odd(script) as rig:
        events = await rig.run(rig.order("Hello"))
        assert processes_below(rig.root.parent) == {}
        return events


@pytest.mark.parametrize("exit_code", [0, 2])
async def test_without_a_word_it_did_not_begin(odd: Odd, exit_code: int) -> None:
    error, done = await turn_of(f"exit {exit_code}", odd)
    assert isinstance(error, TurnError)
    assert (error.code, done_of([done]).reason) == (ErrorCode.AGENT_UNAVAILABLE, "failed")
    assert error.message.endswith("Run claude on that machine to see why.")


async def test_its_own_words_are_told(odd: Odd) -> None:
    error, _ = await turn_of("echo 'warning' >&2; echo 'Error: Your version is too old.' >&2; exit 1", odd)
    assert isinstance(error, TurnError)
    assert error.message.endswith("It says: Your version is too old.")


async def test_lines_that_can_not_be_read_are_passed_over(odd: Odd) -> None:
    lines = [INIT, "not json", '{"type":"assistant"}', "[" * 5000, SAYS, "", RESULT]
    events = await turn_of(f"printf '%s\\n' {' '.join(repr(line) for line in lines)}", odd)
    assert [type(event) for event in events[:-1]] == [TurnBegan, Text]
    assert done_of(events).reason == "completed"


async def test_a_line_without_end_is_dropped(odd: Odd) -> None:
    flood = f"head -c {65 * MIB} /dev/zero; echo"
    events = await turn_of(f"echo '{INIT}'; {flood}; echo '{SAYS}'; echo '{RESULT}'", odd)
    assert Text(text="hello") in events
    assert done_of(events).reason == "completed"


async def test_stderr_does_not_hold_it_up(odd: Odd) -> None:
    events = await turn_of(f"head -c {MIB} /dev/zero >&2; echo '{INIT}'; echo '{RESULT}'", odd)
    assert done_of(events).reason == "completed"


async def test_a_message_that_is_never_read_does_not_hold_it_up(odd: Odd) -> None:
    async with odd(f"exec <&-; echo '{INIT}'; echo '{RESULT}'") as rig:
        events = await rig.run(rig.order("x" * (5 * MIB)))
    assert done_of(events).reason == "completed"


@pytest.mark.slow
async def test_an_answer_that_is_never_read_does_not_hold_up_who_gives_it(odd: Odd) -> None:
    request = '{"type":"control_request","request_id":"7","request":{"subtype":"can_use_tool","tool_name":"Write"}}'
    answer = PromptAnswer("allow", updated_input={"content": "x" * MIB})
    async with odd(f"echo '{INIT}'; echo '{request}'; sleep 1000") as rig:
        assert done_of(await rig.run(rig.order("Hello"), lambda _: answer, cancel_at=PromptAsked)).reason == "cancelled"


async def test_a_question_that_is_not_known_is_refused_and_not_left_open(odd: Odd) -> None:
    request = '{"type":"control_request","request_id":"7","request":{"subtype":"elicitation"}}'
    says = '{"type":"assistant","message":{"content":[{"type":"text","text":"%s"}]}}'
    script = (
        f"read -r message; echo '{INIT}'; echo '{request}'; read -r answer\n"
        f'case $answer in *\'"subtype":"error","request_id":"7"\'*) printf \'{says}\\n\' refused;; esac\n'
        f"echo '{RESULT}'"
    )
    assert Text(text="refused") in await turn_of(script, odd)


async def test_one_that_closes_its_output_and_stays_is_ended(odd: Odd, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("host.agents.claude.cli_process.ENDING_S", 0.3)
    events = await turn_of(f"echo '{INIT}'; exec >&- 2>&-; sleep 1000", odd)
    assert done_of(events).reason == "interrupted"


async def test_one_that_stays_when_all_is_done_is_ended(odd: Odd, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("host.agents.claude.turn.CLOSING_S", 0.3)
    events = await turn_of(f"echo '{INIT}'; echo '{RESULT}'; sleep 1000", odd)
    assert done_of(events).reason == "completed"


async def test_nothing_that_can_be_asked_is_an_answer_too(odd: Odd) -> None:
    async with odd("echo 'Something else 1.0'") as rig:
        assert (await rig.agent.status()).problem is not None
        with pytest.raises(AgentUnavailable):
            await rig.agent.capabilities(rig.root)


async def test_one_that_can_not_be_started_is_said(tmp_path: Path) -> None:
    program = tmp_path / "claude"
    program.write_bytes(b"\x7fELF nothing")
    program.chmod(0o755)
    async with ClaudeRig.with_program(tmp_path, program, environment(tmp_path)) as rig:
        with pytest.raises(AgentUnavailable, match="did not start"):
            await rig.run(rig.order("Hello"))
