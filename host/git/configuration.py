"""What a repository's own configuration would run in a read, and what is put over it instead. Pure."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

# Its own files, which may have come with a clone or an archive. The others are the user's and the system's.
_ITS_OWN: Final = frozenset({"local", "worktree"})
# filter.<name>.…: what turns a file into what is stored; a name may hold anything.
_FILTER: Final = re.compile(r"filter\..*\.(?P<kind>clean|smudge|process|required)", re.DOTALL)
_INCLUDE: Final = re.compile(r"include(?:if\..*)?\.path", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Entry:
    """``scope`` as git names it. ``value`` is empty for a name without one."""

    scope: str
    name: str
    value: str


@dataclass(frozen=True, slots=True)
class Configuration:
    """``overrides``: for what the repository says of filters, what the user says of those of that name, or nothing.

    ``is_settled``: it changes only when its own files do, and overrides nothing of anybody else's.
    """

    overrides: Mapping[str, str]
    ssh_command: str | None
    is_settled: bool


def parse_configuration(listing: bytes) -> list[Entry]:
    """Parse ``git config --list --show-scope -z``. The later one of a name counts."""
    fields = listing.decode(errors="surrogateescape").split("\0")
    entries = []
    for scope, entry in zip(fields[::2], fields[1::2], strict=False):
        name, _, value = entry.partition("\n")
        entries.append(Entry(scope, name, value))
    return entries


def judge(entries: Iterable[Entry]) -> Configuration:
    listed = list(entries)
    theirs = {entry.name: entry.value for entry in listed if entry.scope not in _ITS_OWN}
    own = {entry.name for entry in listed if entry.scope in _ITS_OWN}
    overrides = {
        # A filter that is required and does nothing is an error.
        name: theirs.get(name, "false" if found["kind"] == "required" else "")
        for name in sorted(own)
        if (found := _FILTER.fullmatch(name))
    }
    return Configuration(
        overrides,
        ssh_command=next((entry.value for entry in reversed(listed) if entry.name == "core.sshcommand"), None),
        is_settled=not overrides and not any(_INCLUDE.fullmatch(name) for name in own),
    )
