"""What starting by itself needs of a system: a file that says what to start, and the system's own tool."""

import os
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Protocol

from host.core.errors import ForPeople

_TOOL_TIMEOUT_S: Final = 20.0
_MAX_SCRIPT_LINE_BYTES: Final = 1024
# What the daemon is told by the environment and would miss when the system starts it: of ours, where our home is
# and how the relay is reached and trusted.
KEPT_VARIABLES: Final = (
    "GATEWAY_URL",
    "LOG_LEVEL",
    "POCKETCODER_CLAUDE",
    "POCKETCODER_CONTROL_PORT",
    "POCKETCODER_HOME",
    "XDG_CONFIG_HOME",
    "PYTHON_KEYRING_BACKEND",
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
    "HTTPS_PROXY",
    "https_proxy",
    "NO_PROXY",
    "no_proxy",
)


class AutostartFailed(ForPeople):
    """It could not be set up or taken back. The message says why and what to do."""


@dataclass(frozen=True)
class Start:
    """What is started: an absolute program with its arguments, and variables it would miss otherwise."""

    program: Path
    arguments: Sequence[str] = ("start", "--foreground")
    variables: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class AutostartState:
    """``problem``: a sentence on why it would not work though it is enabled."""

    enabled: bool
    problem: str | None = None


class Autostart(Protocol):
    """One system's way. ``file`` is what it writes."""

    file: Path

    def enable(self, start: Start) -> Sequence[str]:
        """Set it up, anew if it was; returns sentences on what was done and is left to do. Raises AutostartFailed."""
        ...

    def disable(self) -> bool:
        """Take it back; return whether there was anything. Raises AutostartFailed."""
        ...

    def state(self) -> AutostartState: ...


class Tool(Protocol):
    def __call__(self, *argv: str) -> str:
        """Run a program of the system to its end and return what it printed. Raises AutostartFailed."""
        ...


def run_tool(*argv: str) -> str:
    """See ``Tool``. It gets 20 s."""
    try:
        done = subprocess.run(argv, capture_output=True, text=True, timeout=_TOOL_TIMEOUT_S, check=True)  # noqa: S603 - the system's own tools
    except FileNotFoundError as exc:
        raise AutostartFailed(f"{argv[0]} was not found, so this system can't start PocketCoder by itself.") from exc
    except subprocess.TimeoutExpired as exc:
        raise AutostartFailed(f"{' '.join(argv)} did not end within {_TOOL_TIMEOUT_S:g} s. Try again.") from exc
    except subprocess.CalledProcessError as exc:
        said = "".join(filter(str.isprintable, (exc.stderr or exc.stdout or "").strip()[:500]))
        raise AutostartFailed(f"{' '.join(argv)} failed: {said or 'it said nothing'}.") from exc
    return done.stdout


def missing_program(program: str) -> str | None:
    """A sentence for a program that can't run any more: of a moved or removed installation, or of a removed Python."""
    if (missing := _missing_part(Path(program))) is None:
        return None
    return (
        f"What would be started, {missing}, is not there any more. "
        "Run this again from where PocketCoder is installed now: pocketcoder enable-autostart"
    )


def _missing_part(program: Path) -> Path | None:
    """The program itself, or the interpreter that its first line names."""
    try:
        with program.open("rb") as file:
            first = file.readline(_MAX_SCRIPT_LINE_BYTES)
    except OSError:
        return program
    words = os.fsdecode(first.removeprefix(b"#!")).split() if first.startswith(b"#!") else []
    return None if not words or Path(words[0]).exists() else Path(words[0])
