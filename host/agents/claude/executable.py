"""Where the CLI is."""

import os
import shutil
from collections.abc import Mapping
from typing import Final

from host.protocol.errors import AgentUnavailable

_NAME: Final = "claude"
# Where its installers put it, should the login shell's PATH not lead there.
_USUAL_PLACES: Final = (".local/bin/claude", ".claude/local/claude")


def find_executable(setting: str | None, environment: Mapping[str, str]) -> str:
    """Its absolute path. ``setting`` is what was set of it, ``environment`` the user's. Raises AgentUnavailable."""
    if setting is not None:
        path = os.path.abspath(os.path.expanduser(setting))
        if not _is_program(path):
            raise AgentUnavailable(
                f"POCKETCODER_CLAUDE, or agent.claude in config.toml, says {setting}, where there is no program that "
                "may be run. Correct it, or unset it to have claude looked for, and restart the daemon."
            )
        return path
    found = shutil.which(_NAME, path=environment.get("PATH", os.defpath))
    if found is not None:
        return os.path.abspath(found)
    home = environment.get("HOME", "")
    for place in _USUAL_PLACES:
        path = os.path.join(home, place)
        if os.path.isabs(path) and _is_program(path):
            return path
    raise AgentUnavailable(
        "Claude Code was not found on this machine. Install it as https://claude.com/claude-code says, or set "
        "POCKETCODER_CLAUDE to the path of claude, and restart the daemon."
    )


def _is_program(path: str) -> bool:
    return os.path.isfile(path) and os.access(path, os.X_OK)
