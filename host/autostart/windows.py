"""Windows: a task that starts at logon (schtasks)."""

from collections.abc import Sequence
from pathlib import Path
from typing import Final

from host.autostart.port import AutostartFailed, AutostartState, Start, Tool, run_tool

TASK: Final = "PocketCoder"


class WindowsTask:
    """Implements ``Autostart``. Variables are not kept: a task takes none. ``file`` is the task's name."""

    file = Path(TASK)

    def __init__(self, *, tool: Tool = run_tool) -> None:
        self._tool = tool

    def enable(self, start: Start) -> Sequence[str]:
        command = " ".join((f'"{start.program}"', *start.arguments))
        self._tool("schtasks", "/Create", "/F", "/SC", "ONLOGON", "/TN", TASK, "/TR", command)
        return [f"Made the task {TASK}.", "PocketCoder starts when you log in."]

    def disable(self) -> bool:
        if not self.state().enabled:
            return False
        self._tool("schtasks", "/Delete", "/F", "/TN", TASK)
        return True

    def state(self) -> AutostartState:
        try:
            self._tool("schtasks", "/Query", "/TN", TASK)
        except AutostartFailed:
            return AutostartState(enabled=False)
        return AutostartState(enabled=True)
