"""Linux: a unit of the user's own service manager (systemd.service(5), systemd.unit(5))."""

import getpass
import os
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from host.autostart.port import AutostartFailed, AutostartState, Start, Tool, missing_program, run_tool
from host.core.home import write_private

UNIT: Final = "pocketcoder.service"
# The daemon gives what runs 30 s, and ends it then.
_STOP_TIMEOUT_S: Final = 60


class Systemd:
    """Implements ``Autostart``."""

    def __init__(self, directory: Path, *, tool: Tool = run_tool) -> None:
        self.file = directory / UNIT
        self._tool = tool

    @classmethod
    def of_user(cls) -> "Systemd":
        config = os.environ.get("XDG_CONFIG_HOME") or os.path.expanduser("~/.config")
        return cls(Path(config) / "systemd" / "user")

    def enable(self, start: Start) -> Sequence[str]:
        self.file.parent.mkdir(parents=True, exist_ok=True)
        was_there = self.file.exists()
        write_private(self.file, unit(start).encode())
        try:
            self._tool("systemctl", "--user", "daemon-reload")
            self._tool("systemctl", "--user", "enable", UNIT)
        except AutostartFailed as exc:
            if not was_there:
                self.file.unlink()
            raise _elsewhere(exc) from exc
        return [f"Wrote {self.file}", "PocketCoder starts when you log in.", *self._about_lingering()]

    def disable(self) -> bool:
        if not self.file.exists():
            return False
        # The unit is not stopped: the daemon that runs may be needed until the user stops it.
        try:
            self._tool("systemctl", "--user", "disable", UNIT)
        except AutostartFailed as exc:
            raise _elsewhere(exc) from exc
        self.file.unlink()
        self._tool("systemctl", "--user", "daemon-reload")
        return True

    def state(self) -> AutostartState:
        try:
            content = self.file.read_text()
        except (OSError, UnicodeDecodeError):
            return AutostartState(enabled=False)
        program = next((line for line in content.splitlines() if line.startswith("ExecStart=")), "ExecStart=")
        arguments = shlex.split(program.removeprefix("ExecStart="))
        problem = missing_program(_plain(arguments[0])) if arguments else f"{self.file} was changed and starts nothing."
        return AutostartState(enabled=True, problem=problem or self._refusal())

    def _refusal(self) -> str | None:
        try:
            self._tool("systemctl", "--user", "is-enabled", "--quiet", UNIT)
        except AutostartFailed:
            return f"{self.file} is there, but systemd does not use it. Set it up again: pocketcoder enable-autostart"
        return None

    def _about_lingering(self) -> Sequence[str]:
        """Without it the user's manager, and so the daemon, runs only while the user is logged in (loginctl(1))."""
        user = getpass.getuser()
        try:
            lingers = self._tool("loginctl", "show-user", user, "--property=Linger").strip() == "Linger=yes"
        except AutostartFailed:
            lingers = False
        if lingers:
            return ()
        return (f"To have it run from boot on, and after you log out, run: loginctl enable-linger {shlex.quote(user)}",)


def unit(start: Start) -> str:
    """The unit's text."""
    # A "$" begins a variable here, and only here.
    command = " ".join(_quoted(word).replace("$", "$$") for word in (str(start.program), *start.arguments))
    variables = "".join(f"Environment={_quoted(f'{name}={value}')}\n" for name, value in start.variables.items())
    return f"""\
[Unit]
Description=PocketCoder: reach this machine's projects and coding agent from your phone

[Service]
Type=exec
ExecStart={command}
{variables}Restart=on-failure
RestartSec=5
KillMode=mixed
TimeoutStopSec={_STOP_TIMEOUT_S}

[Install]
WantedBy=default.target
"""


def _elsewhere(refusal: AutostartFailed) -> AutostartFailed:
    return AutostartFailed(f"{refusal} Run this in a login of your own, not by sudo or su.")


def _quoted(word: str) -> str:
    """One word of a setting, in which specifiers and escapes mean nothing. Raises AutostartFailed."""
    if not word.isprintable():
        raise AutostartFailed(
            "The installation's path holds characters that a systemd unit can't. Install it elsewhere."
        )
    escaped = word.replace("\\", "\\\\").replace('"', '\\"').replace("%", "%%")
    return f'"{escaped}"'


def _plain(word: str) -> str:
    return word.replace("%%", "%").replace("$$", "$")
