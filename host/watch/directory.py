"""What is known of one directory."""

from __future__ import annotations

import os
from typing import Final, Protocol

from host.paths.ignore import NameRules
from host.paths.relative import join, shown
from host.watch import hints
from host.watch.rules import SharedRules

# What tells a file's content from another without reading it: modification time in ns, size, inode number.
Stamp = tuple[int, ...]
# Where the system tells of every write, none is needed.
UNSTAMPED: Final[Stamp] = ()

NOT_WATCHED: Final = -1


class Noticing(Protocol):
    """Who looks after the directories of one project."""

    def noticed(self, directory: Directory, name: str, said: int) -> None: ...


class Directory:
    """A directory that is not ignored, and those of its entries that are not. Thousands are held.

    ``identity`` is a number that another directory at the same path does not have while this one is
    watched, or NOT_WATCHED. ``is_gone`` says that it was taken out of its parent's entries.
    """

    __slots__ = ("depth", "entries", "hidden", "identity", "is_gone", "keeper", "name", "parent", "path_bytes", "rules")

    def __init__(self, keeper: Noticing, parent: Directory | None, name: str, rules: SharedRules) -> None:
        self.depth: int = 0 if parent is None else parent.depth + 1
        self.path_bytes: int = 0 if parent is None else parent.path_bytes + _bytes_of(name) + 1
        self.keeper = keeper
        self.parent = parent
        self.name = name
        self.rules = rules
        self.entries: dict[str, Directory | Stamp] = {}
        # Entries that were told of and are ignored since, and whether they are directories. Mostly none.
        self.hidden: dict[str, bool] | None = None
        self.identity = NOT_WATCHED
        self.is_gone = False

    def parts(self) -> tuple[str, ...]:
        """The names from the root, which has none, as ``os`` functions give them."""
        names: list[str] = []
        directory = self
        while directory.parent is not None:
            names.append(directory.name)
            directory = directory.parent
        return tuple(reversed(names))

    @property
    def shown_path(self) -> str:
        """As listings show it."""
        path = "/".join(self.parts())
        return path if path.isascii() else "/".join(map(shown, path.split("/")))

    def shown_path_of(self, name: str) -> str:
        return join(self.shown_path, shown(name))

    def names(self) -> NameRules:
        """Which of its entries are ignored."""
        return self.rules.names(self.depth, self.parts)

    def ignores(self, name: str, *, is_dir: bool) -> bool:
        names = self.names()
        return bool(names.suspects(name)) and names.ignores(name, is_dir=is_dir)

    def noticed(self, name: str, said: int) -> None:
        """The system told of an entry."""
        if name:
            self.keeper.noticed(self, name, said)

    def ended(self) -> None:
        """The system tells no more of this directory: it was removed, or unmounted."""
        self.identity = NOT_WATCHED
        if self.parent is not None and not self.is_gone:
            self.keeper.noticed(self.parent, self.name, hints.STRUCTURE)


def _bytes_of(name: str) -> int:
    return len(name) if name.isascii() else len(os.fsencode(name))
