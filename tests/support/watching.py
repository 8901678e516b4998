"""A client of a watch: it lists once, applies what it is told, and lists again when it is told to."""

import asyncio
import os
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

from host.paths.door import Door
from host.paths.ignore_reading import rules_in
from host.paths.relative import ROOT, RelativePath
from host.protocol.errors import ProtocolError
from host.watch.inotify_watcher import InotifyWatcher
from host.watch.port import MAX_CHANGES_A_CALL, Change, Watcher, WatchState

TIMEOUT_S: Final = 20.0

# Shown paths, and whether they are directories.
Tree = dict[str, bool]


class Recorder:
    """A WatchListener of ``root``. ``tree`` is what it believes is there.

    ``is_ordered``: what happens later is told later.
    """

    def __init__(self, root: Path, *, is_ordered: bool = True) -> None:
        self.root = root
        self._is_ordered = is_ordered
        self.tree: Tree = {}
        self.changes: list[Change] = []
        self.states: list[WatchState] = []
        self.losses = 0
        self.git_changes = 0
        self._happened = asyncio.Event()
        self._markers = 0

    def changed(self, changes: Sequence[Change]) -> None:
        assert 1 <= len(changes) <= MAX_CHANGES_A_CALL
        self.changes.extend(changes)
        for change in changes:
            self._apply(change)
        self._happened.set()

    def lost(self) -> None:
        self.losses += 1
        self.tree = listed(self.root)
        self._happened.set()

    def git_changed(self) -> None:
        self.git_changes += 1
        self._happened.set()

    def state_changed(self, state: WatchState) -> None:
        assert not self.states or self.states[-1] != state
        self.states.append(state)
        self._happened.set()

    async def until(self, holds: Callable[[], bool]) -> None:
        async with asyncio.timeout(TIMEOUT_S):
            while not holds():
                self._happened.clear()
                await self._happened.wait()

    async def settle(self) -> None:
        """Until all that happened before has been told."""
        await self._mark()
        if not self._is_ordered:
            await self._mark()

    async def _mark(self) -> None:
        self._markers += 1
        marker = self.root / f"marker-{self._markers}"
        marker.touch()
        await self.until(lambda: marker.name in self.tree)

    async def told(self) -> list[Change]:
        """What was told since it was asked for last, without markers and the writing of files that are new."""
        await self.settle()
        told: list[Change] = []
        for change in self.changes:
            is_new = change.kind == "modify" and Change("create", change.path, is_dir=False) in told
            if not (is_new or change.path.startswith("marker-")):
                told.append(change)
        self.changes = []
        return told

    def _apply(self, change: Change) -> None:
        if change.kind == "delete":
            self.tree.pop(change.path, None)
            # What of it is ignored by now is not told of one by one.
            below = f"{change.path}/" if change.is_dir else "\0"
            for path in [path for path in self.tree if path.startswith(below)]:
                del self.tree[path]
        elif change.kind == "create":
            self.tree[change.path] = change.is_dir
        else:
            assert not change.is_dir


@asynccontextmanager
async def watched(watcher: Watcher, root: Path) -> AsyncIterator[Recorder]:
    """Watch, from when the watch runs until the context is left."""
    recorder = Recorder(root, is_ordered=isinstance(watcher, InotifyWatcher))
    watch = watcher.watch(root, recorder)
    await recorder.until(lambda: recorder.losses > 0)
    try:
        yield recorder
    finally:
        watch.stop()


def not_ignored(root: Path, tree: Tree) -> Tree:
    """What of the tree is not ignored by the rules that hold now."""
    kept: Tree = {}
    with Door(root) as door:
        for path, is_dir in tree.items():
            *above, name = (part.encode() for part in path.split("/"))
            directory = ROOT
            for part in above:
                directory = directory.child(part)
            if not rules_in(door, directory).names().ignores(name.decode(), is_dir=is_dir):
                kept[path] = is_dir
    return kept


def listed(root: Path) -> Tree:
    """All that is there and not ignored, by the means of listings."""
    found: Tree = {}
    try:
        with Door(root) as door:
            _list(door, ROOT, root, found)
    except ProtocolError:
        pass
    return found


def _list(door: Door, path: RelativePath, place: Path, found: Tree) -> None:
    names = rules_in(door, path).names()
    try:
        with os.scandir(place) as scanned:
            entries = list(scanned)
    except OSError:
        return
    for entry in entries:
        is_dir = entry.is_dir(follow_symlinks=False)
        if not names.ignores(entry.name, is_dir=is_dir):
            below = path.child(os.fsencode(entry.name))
            found[below.text] = is_dir
            if is_dir:
                _list(door, below, place / entry.name, found)
