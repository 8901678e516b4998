"""The environment that commands and agents run in: the user's, without anything of ours."""

import os
import sys
from collections.abc import Mapping
from typing import Final

from host.protocol.errors import InvalidRequest

_OUR_PREFIXES: Final = ("POCKETCODER_", "GIT_")
_OUR_NAMES: Final = frozenset({"GATEWAY_URL"})
# Ours where the daemon was started with it, but a name that a user may well set for programs of their own.
_OUR_SETTING: Final = "LOG_LEVEL"
# They describe one shell or one directory, and would be wrong for any other.
_SHELL_STATE: Final = frozenset({"PWD", "OLDPWD", "SHLVL", "_"})

_INSIDE_CLAUDE: Final = "CLAUDECODE"
_AGENT_MARKS: Final = frozenset(
    {
        _INSIDE_CLAUDE,
        "CLAUDE_CODE_ENTRYPOINT",
        "CLAUDE_CODE_EXECPATH",
        "CLAUDE_CODE_SESSION_ID",
        "CLAUDE_CODE_SSE_PORT",
        "CLAUDE_AGENT_SDK_VERSION",
        "CLAUDE_ENV_FILE",
        "CLAUDE_PROJECT_DIR",
        "AI_AGENT",
        "CODEX_SANDBOX",
        "CODEX_SANDBOX_NETWORK_DISABLED",
        "CODEX_THREAD_ID",
        "CURSOR_AGENT",
        "GEMINI_CLI",
        "OPENCODE",
    }
)


def started_with(
    environ: Mapping[str, str], *, prefix: str = sys.prefix, base_prefix: str = sys.base_prefix
) -> dict[str, str]:
    """What the daemon was started with and a child may see.

    Within a running agent none of its ``CLAUDE_CODE_*`` are passed on, since marks and settings can't be told
    apart. A virtual environment that the daemon itself runs from (``prefix``) is left out of PATH.
    """
    passed = {name: value for name, value in without_ours(environ).items() if name != _OUR_SETTING}
    if _INSIDE_CLAUDE in environ:
        passed = {name: value for name, value in passed.items() if not name.startswith("CLAUDE_CODE_")}
    return passed if prefix == base_prefix else _deactivated(passed, prefix)


def without_ours(environ: Mapping[str, str]) -> dict[str, str]:
    """All but what is the daemon's, marks a running agent, or holds for one shell only."""
    dropped = _OUR_NAMES | _SHELL_STATE | _AGENT_MARKS
    return {
        name: value for name, value in environ.items() if name not in dropped and not name.startswith(_OUR_PREFIXES)
    }


def combined(login: Mapping[str, str], started: Mapping[str, str]) -> dict[str, str]:
    """The login shell's environment with the daemon's own on top.

    PATH keeps the login shell's order; before it comes what only the daemon was started with.
    """
    whole = {**login, **started}
    paths = [environment["PATH"].split(os.pathsep) for environment in (started, login) if "PATH" in environment]
    if len(paths) == 2:
        own, usual = paths
        whole["PATH"] = os.pathsep.join([*(entry for entry in own if entry not in usual), *usual])
    return whole


def command_environment(base: Mapping[str, str], extra: Mapping[str, str]) -> dict[str, str]:
    """``base`` with a request's ``env`` on top, which may set whatever it likes: the command is its own, too.

    Raises InvalidRequest for what no environment can hold.
    """
    for name, value in extra.items():
        _require_valid(name, value)
    return {**base, **extra}


def _require_valid(name: str, value: str) -> None:
    if not name or "=" in name or "\0" in name or "\0" in value:
        raise InvalidRequest.of_field("env", "A name must not be empty or contain =, and nothing may contain a NUL.")
    try:
        (name + value).encode()
    except UnicodeEncodeError as exc:
        raise InvalidRequest.of_field("env", "A name or a value is not valid Unicode.") from exc


def _deactivated(environ: dict[str, str], prefix: str) -> dict[str, str]:
    ours = os.path.realpath(prefix)
    if "PATH" in environ:
        entries = environ["PATH"].split(os.pathsep)
        bin_directory = os.path.join(ours, "bin")
        environ["PATH"] = os.pathsep.join(entry for entry in entries if os.path.realpath(entry) != bin_directory)
    if os.path.realpath(environ.get("VIRTUAL_ENV", "/")) == ours:
        del environ["VIRTUAL_ENV"]
        environ.pop("VIRTUAL_ENV_PROMPT", None)
    return environ
