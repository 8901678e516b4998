"""When a turn is over."""

from typing import Final

import pytest

from host.agents.claude.ending import COMMANDS_S, FOLLOW_UP_S, UNSURE_S, Ending
from host.agents.claude.stream_json import Init, Line, Result, StateChanged, TaskEnded, TaskStarted

RUNNING: Final = StateChanged("running")
IDLE: Final = StateChanged("idle")
WAITING: Final = StateChanged("requires_action")
AGENT: Final = TaskStarted("agent", "local_agent")
SHELL: Final = TaskStarted("shell", "local_bash")

TURNS: Final[dict[str, tuple[list[Line], float | None]]] = {
    "nothing was said yet": ([], None),
    "it works": ([RUNNING, Init()], None),
    "it is done": ([RUNNING, Init(), Result(), IDLE], 0),
    "an older CLI, that tells no states, is done": ([Init(), Result()], 0),
    "it knew the message": ([IDLE], 0),
    "it has a result but is not idle": ([RUNNING, Init(), Result()], UNSURE_S),
    "a command in the foreground took long": (
        [RUNNING, Init(), SHELL, TaskEnded("shell"), Result(), IDLE],
        0,
    ),
    "a command runs in the background": ([RUNNING, Init(), SHELL, Result(), IDLE], COMMANDS_S),
    "a sub-agent works in the background": ([RUNNING, Init(), AGENT, Result(), IDLE], None),
    "a sub-agent asks for a permission": ([RUNNING, Init(), AGENT, WAITING, Result(), RUNNING, IDLE], None),
    "a sub-agent and a command run": ([RUNNING, Init(), AGENT, SHELL, Result(), IDLE], None),
    "the agent is about to hear of its sub-agent": (
        [RUNNING, Init(), AGENT, Result(), IDLE, TaskEnded("agent")],
        FOLLOW_UP_S,
    ),
    "the agent has heard of its sub-agent": (
        [RUNNING, Init(), AGENT, Result(), IDLE, TaskEnded("agent"), RUNNING, Init()],
        None,
    ),
    "the agent has said what it thinks of it": (
        [RUNNING, Init(), AGENT, Result(), IDLE, TaskEnded("agent"), RUNNING, Init(), Result(), IDLE],
        0,
    ),
}


@pytest.mark.parametrize("situation", TURNS)
def test_how_long_more_is_waited_for(situation: str) -> None:
    lines, patience_s = TURNS[situation]
    ending = Ending()
    for line in lines:
        ending.observe(line)
    assert ending.patience_s == patience_s
