"""The environment and configuration under which git runs. Pure.

A repository is not trusted: its own configuration names programs, and so may whatever the daemon
was started with. What is set here has the last word over all of it.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Final

# Under each git; configuration of the command line's rank, which no file overrides.
COMMON_CONFIG: Final[Mapping[str, str]] = {
    # A clone may hold the directory of a bare repository with a configuration of its own.
    "safe.bareRepository": "explicit",
    # A program of the repository's choice, or a daemon that would stay.
    "core.fsmonitor": "false",
}
READ_CONFIG: Final[Mapping[str, str]] = {
    **COMMON_CONFIG,
    "core.hooksPath": "/dev/null",
    # Would run gpg.program.
    "log.showSignature": "false",
    # Read for nothing, from a file of the repository's choice that may have no end.
    "log.mailmap": "false",
    # Would run git in each submodule, under its configuration.
    "diff.submodule": "short",
    # Or a diff would tell files that have not changed, and write names in other ways than it is parsed.
    "diff.autoRefreshIndex": "true",
    "core.quotePath": "true",
    # Or the shared part of a copied index would be written into the repository.
    "core.splitIndex": "false",
}
WRITE_CONFIG: Final[Mapping[str, str]] = {
    **COMMON_CONFIG,
    "credential.interactive": "false",
    # What messages come in.
    "i18n.commitEncoding": "UTF-8",
    # It would run on in the background, and be ended half-way.
    "gc.auto": "0",
    "maintenance.auto": "false",
}

_COMMON: Final[Mapping[str, str]] = {
    # What git says is read here.
    "LC_ALL": "C.UTF-8",
    "LANGUAGE": "",
    # Nobody is there to answer.
    "GIT_TERMINAL_PROMPT": "0",
    "GIT_ASKPASS": "",
    "SSH_ASKPASS_REQUIRE": "never",
    "GCM_INTERACTIVE": "never",
    "GIT_EDITOR": ":",
    "GIT_SEQUENCE_EDITOR": ":",
}
_READ: Final[Mapping[str, str]] = {
    **_COMMON,
    "GIT_LITERAL_PATHSPECS": "1",
    "GIT_OPTIONAL_LOCKS": "0",
    # Not a write for each commit of a log.
    "GIT_FLUSH": "0",
    # A partial clone fetches what it lacks, by whatever program its configuration names. Older versions
    # of git know the second variable only: no way to a remote is allowed.
    "GIT_NO_LAZY_FETCH": "1",
    "GIT_ALLOW_PROTOCOL": "none",
}
_WRITE: Final[Mapping[str, str]] = {
    **_COMMON,
    # None that runs a command of the URL's choice, such as ext::.
    "GIT_ALLOW_PROTOCOL": "file:git:http:https:ssh",
}
_PROMPTS: Final = ("SSH_ASKPASS", "DISPLAY", "WAYLAND_DISPLAY")
_SSH: Final = "ssh"


def read_environment(user: Mapping[str, str], settings: Mapping[str, str], index: Path | None = None) -> dict[str, str]:
    """For what only reads. ``user`` is the login environment, ``settings`` the repository's own overrides.

    ``index``: another than the repository's.
    """
    other_index = {"GIT_INDEX_FILE": str(index)} if index else {}
    return {**_without_git(user), **_READ, **other_index, **_configuration({**READ_CONFIG, **settings})}


def write_environment(user: Mapping[str, str], ssh_command: str | None, *, takes_paths: bool) -> dict[str, str]:
    """For what changes the repository or talks to its remotes; hooks run in it, too.

    ``ssh_command`` is ``core.sshCommand``. Only where paths are given they are made literal: hooks have patterns of
    their own.
    """
    environment = {**_without_git(user), **_WRITE, **_configuration(WRITE_CONFIG)}
    environment["GIT_SSH_COMMAND"] = f"{ssh_command or _SSH} -o BatchMode=yes"
    if takes_paths:
        environment["GIT_LITERAL_PATHSPECS"] = "1"
    return environment


def _without_git(user: Mapping[str, str]) -> dict[str, str]:
    return {name: value for name, value in user.items() if name not in _PROMPTS and not name.startswith("GIT_")}


def _configuration(settings: Mapping[str, str]) -> dict[str, str]:
    """Unlike ``-c``, this takes names that hold ``=``."""
    variables = {"GIT_CONFIG_COUNT": str(len(settings))}
    for number, (name, value) in enumerate(settings.items()):
        variables[f"GIT_CONFIG_KEY_{number}"] = name
        variables[f"GIT_CONFIG_VALUE_{number}"] = value
    return variables
