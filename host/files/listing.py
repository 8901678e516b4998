"""fs_list: a directory's entries, and those of its directories down to a depth."""

import os
from collections import deque
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from itertools import islice
from stat import S_IFDIR, S_IFLNK, S_IFMT, S_IFREG
from typing import Final

from msgspec import UNSET

from host.files.times import NS_A_MILLISECOND, millisecond_text
from host.paths.door import Door
from host.paths.ignore import IgnoreRules
from host.paths.ignore_reading import gitignore_in, rules_in
from host.paths.relative import ROOT, RelativePath, is_text, join, shown
from host.protocol.errors import OutsideProjectRoot
from host.protocol.limits import MAX_LIST_ENTRIES
from host.protocol.messages.files import Entry, EntryKind

# Scanned at a time where little is left to list.
_MIN_CHUNK: Final = 1024
_KINDS: Final[dict[int, EntryKind]] = {S_IFREG: "file", S_IFDIR: "dir", S_IFLNK: "symlink"}
_kind_of_type: Final = _KINDS.get
_TYPE_BITS: Final = S_IFMT(0xFFFF)


@dataclass(frozen=True, slots=True)
class Listing:
    """``truncated`` is true if any directory of the answer was cut."""

    children: list[Entry]
    truncated: bool


@dataclass(frozen=True, slots=True)
class _Unlisted:
    """A directory whose turn comes later. ``below`` is its path from the listed directory."""

    entry: Entry
    below: RelativePath
    name: str
    around: IgnoreRules


def list_directory(
    door: Door, path: RelativePath, *, depth: int, ignored: str = "", max_entries: int = MAX_LIST_ENTRIES
) -> Listing:
    """List ``path``, breadth-first, ``depth`` levels deep but the root only one, ``max_entries`` entries in all.

    Symlinks and ignored directories are not descended; a directory that can't be read
    has no ``children``. Of a directory that is cut, its first entries in order are listed;
    memory is bounded by ``max_entries``, however many there are. ``ignored``: patterns that
    hold in every project. Raises what ``Door.directory`` raises.
    """
    with door.directory(path) as base:
        rules = rules_in(door, path, ignored)
        return _Lister(door, base, path, depth if path.parts else 1, max_entries).listing(rules)


class _Lister:
    def __init__(self, door: Door, base: int, path: RelativePath, depth: int, max_entries: int) -> None:
        self._door = door
        self._base = base
        self._path = path
        self._depth = depth
        self._left = max_entries
        self._truncated = False
        self._unlisted: deque[_Unlisted] = deque()

    def listing(self, rules: IgnoreRules) -> Listing:
        children, _ = self._entries(self._base, ROOT, self._path.text, rules)
        while self._unlisted:
            self._list_below(self._unlisted.popleft())
        return Listing(children, self._truncated)

    def _list_below(self, directory: _Unlisted) -> None:
        # Gone meanwhile, not readable, or now a link that leads out: it stays an entry without children.
        with suppress(OSError, OutsideProjectRoot):
            descriptor = self._door.open_below(self._base, directory.below)
            try:
                rules = directory.around.entered(directory.name, lambda: gitignore_in(descriptor))
                entry = directory.entry
                entry.children, is_cut = self._entries(descriptor, directory.below, entry.path, rules)
                entry.truncated = is_cut or UNSET
            finally:
                os.close(descriptor)

    def _entries(
        self, directory: int, below: RelativePath, shown_path: str, rules: IgnoreRules
    ) -> tuple[list[Entry], bool]:
        """The entries of one open directory, and whether it was cut."""
        with os.scandir(directory) as scanned:
            found, is_cut = _first_in_order(scanned, self._left)
        self._truncated |= is_cut
        self._left -= len(found)
        descends = len(below.parts) + 1 < self._depth
        names, prefix = rules.names(), join(shown_path, "")
        suspects = names.suspects
        entries: list[Entry] = []
        for name in found:
            entry = _entry(name, prefix, directory)
            if entry is None:
                continue
            entries.append(entry)
            if suspects(name) and names.ignores(name, is_dir=entry.kind == "dir"):
                entry.ignored = True
            elif descends and entry.kind == "dir":
                self._unlisted.append(_Unlisted(entry, below.child(os.fsencode(name)), name, rules))
        return entries, is_cut


def _entry(name: str, prefix: str, directory: int) -> Entry | None:
    """None for what is gone since it was scanned. Thousands are made a request: what is rare is asked last."""
    try:
        status = os.stat(name, dir_fd=directory, follow_symlinks=False)
    except FileNotFoundError:
        return None
    except OSError:
        # The directory may be read but not entered: names are all there is.
        entry = Entry(name=name, path=prefix + name, kind="other", size=0, modified_at=millisecond_text(0))
    else:
        entry = Entry(
            name=name,
            path=prefix + name,
            kind=_kind_of_type(status.st_mode & _TYPE_BITS, "other"),
            size=status.st_size,
            modified_at=millisecond_text(status.st_mtime_ns // NS_A_MILLISECOND),
        )
    if entry.kind == "symlink":
        entry.target = _target(name, directory)
    if not (name.isascii() or is_text(name)):
        entry.name = shown(name)
        entry.path = prefix + entry.name
        entry.name_encoded = True
    return entry


def _target(name: str, directory: int) -> str:
    try:
        return shown(os.readlink(name, dir_fd=directory))
    except OSError:
        return ""


def _first_in_order(found: Iterator[os.DirEntry[str]], limit: int) -> tuple[list[str], bool]:
    """The first ``limit`` names in order, and whether there are more. Holds about twice ``limit`` at once.

    The order is directories first, then by the shown names' UTF-8 bytes, which is that of their code points.
    """
    directories: list[str] = []
    others: list[str] = []
    is_cut = False
    while chunk := list(islice(found, max(limit + 1, _MIN_CHUNK))):
        for entry in chunk:
            (directories if entry.is_dir(follow_symlinks=False) else others).append(entry.name)
        _sort(directories)
        _sort(others)
        if len(directories) + len(others) > limit:
            is_cut = True
            del directories[limit:]
            del others[limit - len(directories) :]
            if limit == 0:
                break
    return directories + others, is_cut


def _sort(names: list[str]) -> None:
    names.sort(key=None if is_text("".join(names)) else shown)
