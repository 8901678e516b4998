"""When a turn is over, so that the CLI's input may be closed. Pure.

The CLI goes on by itself when something that it runs in the background has ended. Sub-agents, which work for the
user, are waited for as long as they take, and so is what the agent says about them. Commands are given a minute: a
test run may end within it, a server never will. What still runs when the input is closed, the CLI ends.
"""

from dataclasses import dataclass, field
from typing import Final

from host.agents.claude.stream_json import Init, Line, Result, StateChanged, TaskEnded, TaskStarted

COMMANDS_S: Final = 60.0
# How long the agent takes to go on when a task of the background has ended; many times what was measured.
FOLLOW_UP_S: Final = 5.0
# A result has come, but not the word that nothing follows.
UNSURE_S: Final = 30.0

_SUB_AGENTS: Final = frozenset({"local_agent", "local_workflow"})


@dataclass
class Ending:
    """Is told every line of a turn."""

    _has_begun: bool = False
    _has_result: bool = False
    _is_idle: bool = False
    _tells_state: bool = False
    _is_told: bool = False
    _tasks: dict[str, str] = field(default_factory=dict)

    def observe(self, line: Line) -> None:
        match line:
            case Init():
                self._has_begun, self._has_result, self._is_told = True, False, False
            case Result():
                self._has_result = True
                self._is_idle = self._is_idle or not self._tells_state
            case StateChanged():
                self._tells_state = True
                self._is_idle = line.state == "idle"
            case TaskStarted():
                self._tasks[line.task_id] = line.task_type
            case TaskEnded():
                self._tasks.pop(line.task_id, None)
                # Within a turn the agent hears of it at once.
                self._is_told = self._has_result

    @property
    def has_stopped(self) -> bool:
        """Whether the agent works on nothing, but perhaps in the background."""
        # Idle without having begun: it knew the message, and did not work on it again.
        return self._has_result or (self._is_idle and not self._has_begun)

    @property
    def patience_s(self) -> float | None:
        """How long to wait for the next line before the turn is taken for over; None is for ever."""
        if not self.has_stopped or not _SUB_AGENTS.isdisjoint(self._tasks.values()):
            return None
        if self._tasks:
            return COMMANDS_S
        if self._is_told:
            return FOLLOW_UP_S
        return 0.0 if self._is_idle else UNSURE_S
