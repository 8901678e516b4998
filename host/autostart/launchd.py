"""macOS: an agent of the user's launchd (launchd.plist(5))."""

import os
import plistlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from host.autostart.port import AutostartFailed, AutostartState, Start, Tool, missing_program, run_tool
from host.core.home import write_private

LABEL: Final = "dev.pocketcoder.host"


class Launchd:
    """Implements ``Autostart``."""

    def __init__(self, directory: Path, *, user_id: int, tool: Tool = run_tool) -> None:
        self.file = directory / f"{LABEL}.plist"
        self._domain = f"gui/{user_id}"
        self._tool = tool

    @classmethod
    def of_user(cls) -> "Launchd":
        return cls(Path(os.path.expanduser("~/Library/LaunchAgents")), user_id=os.getuid())

    def enable(self, start: Start) -> Sequence[str]:
        self.file.parent.mkdir(parents=True, exist_ok=True)
        was_there = self.file.exists()
        write_private(self.file, plistlib.dumps(agent(start)))
        if self._refusal() is None:
            # launchd takes no second one, and to boot the first one out would end the daemon and what it runs.
            return [f"Wrote {self.file}", "PocketCoder starts when you log in; until then the agent stays as it was."]
        try:
            self._tool("launchctl", "bootstrap", self._domain, str(self.file))
        except AutostartFailed as exc:
            if not was_there:
                self.file.unlink()
            raise AutostartFailed(f"{exc} Run this where you are logged in on the screen, not over SSH.") from exc
        return [f"Wrote {self.file}", "PocketCoder starts when you log in, and was started now."]

    def disable(self) -> bool:
        if not self.file.exists():
            return False
        # It is not booted out: the daemon that runs may be needed until the user stops it.
        self.file.unlink()
        return True

    def state(self) -> AutostartState:
        try:
            content: Mapping[str, Any] = plistlib.loads(self.file.read_bytes())
            program = str(content["ProgramArguments"][0])
        except OSError:
            return AutostartState(enabled=False)
        except (plistlib.InvalidFileException, ValueError, LookupError, TypeError):
            return AutostartState(enabled=True, problem=f"{self.file} can't be read. Run: pocketcoder enable-autostart")
        return AutostartState(enabled=True, problem=missing_program(program) or self._refusal())

    def _refusal(self) -> str | None:
        try:
            self._tool("launchctl", "print", f"{self._domain}/{LABEL}")
        except AutostartFailed:
            return f"{self.file} is there, but launchd does not use it. Set it up again: pocketcoder enable-autostart"
        return None


def agent(start: Start) -> dict[str, Any]:
    """The property list's content."""
    return {
        "Label": LABEL,
        "ProgramArguments": [str(start.program), *start.arguments],
        "EnvironmentVariables": dict(start.variables),
        "RunAtLoad": True,
        "KeepAlive": {"SuccessfulExit": False},
        "ProcessType": "Interactive",
        "ExitTimeOut": 60,
    }
