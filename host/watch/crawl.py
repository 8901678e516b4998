"""Looking at whole directories, and making the index equal to what is there."""

import os
from collections.abc import Callable, Mapping
from contextlib import suppress
from enum import Enum, auto
from itertools import islice
from typing import Final, Protocol

from host.paths.ignore_reading import gitignore_in
from host.watch.directory import NOT_WATCHED, UNSTAMPED, Directory, Stamp
from host.watch.index import Index
from host.watch.rules import SharedRules

GITIGNORE: Final = ".gitignore"


class WatchRefused(Exception):
    """The system watches no more directories; ``problem`` says to a person why, and what to do."""

    def __init__(self, problem: str) -> None:
        super().__init__(problem)
        self.problem = problem


class TooManyEntries(Exception):
    """More than may be held in memory."""


class DirectoryWatches(Protocol):
    """Who is told by the system of what happens in single directories."""

    def add(self, descriptor: int, directory: Directory) -> int:
        """From now on ``directory.noticed`` is called; the number is its ``identity``. Raises WatchRefused, OSError."""

    def drop(self, directory: Directory) -> None:
        """End what ``add`` began; nothing if it has ended."""


class Look(Enum):
    """Why a directory that is known is looked at."""

    # It may be another one than before: then the files in it are, too.
    IF_REPLACED = auto()
    # What was told of it and of all below it can't be relied on.
    IN_DOUBT = auto()
    # To find what is new and what is gone, in it and in all below it.
    AGAIN = auto()


class Crawl:
    """Directories that wait to be looked at, the last one first. A new one is looked at in any case.

    ``is_stamped``: files are told apart by their stamps, as nobody tells of every write. ``refusal``
    says why directories are not watched, since it was last set to None.
    """

    def __init__(
        self,
        index: Index,
        watches: DirectoryWatches,
        root_rules: Callable[[], SharedRules],
        *,
        is_stamped: bool,
        max_entries: int,
    ) -> None:
        self.is_stamped = is_stamped
        self.refusal: str | None = None
        self._index = index
        self._watches = watches
        self._root_rules = root_rules
        self._max_entries = max_entries
        self._waiting: list[tuple[Directory, Look]] = []

    @property
    def is_pending(self) -> bool:
        return bool(self._waiting)

    def queue(self, directory: Directory, look: Look) -> None:
        self._waiting.append((directory, look))

    def take(self) -> tuple[Directory, Look]:
        """The one whose turn it is; there must be one."""
        return self._waiting.pop()

    def is_next_in(self, directory: Directory) -> bool:
        """Whether the one whose turn it is lies right in ``directory``."""
        return bool(self._waiting) and self._waiting[-1][0].parent is directory

    def clear(self) -> None:
        self._waiting.clear()

    def look_at(self, directory: Directory, descriptor: int, look: Look) -> None:
        """Look at the directory, which is open. Raises OSError, TooManyEntries."""
        is_same = self._watch(directory, descriptor)
        if look is not Look.IF_REPLACED or not is_same:
            self._compare(directory, descriptor, look)

    def stamp(self, status: os.stat_result) -> Stamp:
        return (status.st_mtime_ns, status.st_size, status.st_ino) if self.is_stamped else UNSTAMPED

    def take_directory(self, parent: Directory, name: str, look: Look) -> None:
        """There is a directory of that name."""
        known = parent.entries.get(name)
        if not isinstance(known, Directory):
            if known is not None:
                self._index.take_out(parent, name)
            known = self._index.add_directory(parent, name)
        self.queue(known, look)

    def take_file(self, parent: Directory, name: str, stamp: Stamp, *, is_written: bool) -> None:
        """There is something of that name that is no directory. It changed if that is known, or its stamp differs."""
        known = parent.entries.get(name)
        if known is None or isinstance(known, Directory):
            if known is not None:
                self._index.take_out(parent, name)
            self._index.add_file(parent, name, stamp)
            return
        parent.entries[name] = stamp
        if is_written or (known and stamp and stamp != known):
            self._index.say("modify", parent, name, is_dir=False)

    def has_other_rules(self, directory: Directory, descriptor: int) -> bool:
        """Whether the rules that hold now are others than those it was looked at with."""
        return self._rules(directory, gitignore_in(descriptor)).sources != directory.rules.sources

    def _watch(self, directory: Directory, descriptor: int) -> bool:
        """Whether it was the one that is watched already."""
        try:
            identity = self._watches.add(descriptor, directory)
        except WatchRefused as exc:
            self.refusal = exc.problem
            identity = NOT_WATCHED
        if identity == directory.identity:
            return identity != NOT_WATCHED
        self._watches.drop(directory)
        directory.identity = identity
        return False

    def _compare(self, directory: Directory, descriptor: int, look: Look) -> None:
        """Hundreds of thousands of entries are looked at, most of them in directories that are new."""
        with os.scandir(descriptor) as scanned:
            found = {entry.name: entry for entry in islice(scanned, self._max_entries + 1)}
        if len(found) > self._max_entries:
            raise TooManyEntries
        look = self._take_rules(directory, descriptor, look, has_gitignore=GITIGNORE in found)
        if directory.entries or directory.hidden:
            self._take_out_all_but(found, directory)
        for name in _ignored(directory, found):
            is_dir = found.pop(name).is_dir(follow_symlinks=False)
            self._index.hide(directory, name, is_dir=is_dir)
        directories = [name for name, entry in found.items() if entry.is_dir(follow_symlinks=False)]
        for name in directories:
            del found[name]
        self._take_files(directory, found, look)
        for name in directories:
            self.take_directory(directory, name, look)

    def _take_out_all_but(self, found: Mapping[str, os.DirEntry[str]], directory: Directory) -> None:
        for name in directory.entries.keys() - found.keys():
            self._index.take_out(directory, name)
        for name in (directory.hidden or {}).keys() - found.keys():
            self._index.no_more_hidden(directory, name)

    def _take_files(self, directory: Directory, files: Mapping[str, os.DirEntry[str]], look: Look) -> None:
        stamps = self._stamps(files)
        if not (directory.entries or directory.hidden):
            self._index.add_files(directory, stamps)
            return
        is_written = not self.is_stamped and look is not Look.AGAIN
        for name, stamp in stamps.items():
            self.take_file(directory, name, stamp, is_written=is_written)

    def _stamps(self, files: Mapping[str, os.DirEntry[str]]) -> dict[str, Stamp]:
        """Without those that are gone since they were found."""
        if not self.is_stamped:
            return dict.fromkeys(files, UNSTAMPED)
        stamps: dict[str, Stamp] = {}
        for name, entry in files.items():
            with suppress(FileNotFoundError):
                stamps[name] = self.stamp(entry.stat(follow_symlinks=False))
        return stamps

    def _take_rules(self, directory: Directory, descriptor: int, look: Look, *, has_gitignore: bool) -> Look:
        """Take over the rules that hold now; returns how to look at what is below."""
        before = directory.rules
        directory.rules = self._rules(directory, gitignore_in(descriptor) if has_gitignore else None)
        if directory.rules is before or look is not Look.IF_REPLACED:
            return look
        return look if directory.rules.sources == before.sources else Look.IN_DOUBT

    def _rules(self, directory: Directory, gitignore: str | None) -> SharedRules:
        if directory.parent is None:
            return self._root_rules()
        above = directory.parent.rules
        return above.with_gitignore(directory.parts(), gitignore) if gitignore else above


def _ignored(directory: Directory, found: Mapping[str, os.DirEntry[str]]) -> list[str]:
    names = directory.names()
    return [
        name
        for name in filter(names.suspects, found)
        if names.ignores(name, is_dir=found[name].is_dir(follow_symlinks=False))
    ]
