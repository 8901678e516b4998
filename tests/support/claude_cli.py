"""The real Claude Code CLI, of the version that is pinned, kept apart from all that is the user's."""

import os
import subprocess
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from typing import Final

CLI_VERSION: Final = "2.1.202"
CLI_TIMEOUT_S: Final = 45.0

_PACKAGE: Final = "claude-agent-sdk"
_WITHIN_PACKAGE: Final = "claude_agent_sdk/_bundled/claude"


def claude_executable() -> Path:
    """Where the pinned CLI is. Raises AssertionError where it is not: a test that needs it fails, and isn't skipped."""
    try:
        executable = Path(str(distribution(_PACKAGE).locate_file(_WITHIN_PACKAGE)))
    except PackageNotFoundError as exc:
        raise AssertionError(f"{_PACKAGE} is not installed. Run ./scripts/test, which installs it.") from exc
    assert os.access(executable, os.X_OK), f"{_PACKAGE} comes without the CLI on this platform."
    return executable


def claude_variables(api_url: str) -> dict[str, str]:
    """What makes the CLI speak to the scripted API and to nobody else, with a made-up key, and give up soon."""
    return {
        "ANTHROPIC_BASE_URL": api_url,
        "ANTHROPIC_API_KEY": "sk-made-up",
        "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1",
        "CLAUDE_CODE_MAX_RETRIES": "1",
        "DISABLE_AUTOUPDATER": "1",
        "DISABLE_TELEMETRY": "1",
        "DISABLE_ERROR_REPORTING": "1",
    }


def claude_environment(home: Path, api_url: str, **variables: str) -> dict[str, str]:
    """All that the CLI sees: a home of the test's own, and the way to programs."""
    return {
        "PATH": os.environ["PATH"],
        "LANG": "C.UTF-8",
        "HOME": str(home),
        **claude_variables(api_url),
        **variables,
    }


def run_claude(root: Path, home: Path, api_url: str, *arguments: str) -> str:
    """Run the plain CLI in a directory, as from a script, and return what it printed.

    Raises AssertionError if it fails.
    """
    done = subprocess.run(
        [claude_executable(), *arguments],
        cwd=root,
        env=claude_environment(home, api_url),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=CLI_TIMEOUT_S,
        check=False,
    )
    assert done.returncode == 0, f"claude {' '.join(arguments)}: {done.returncode} {done.stdout}{done.stderr}"
    return done.stdout
