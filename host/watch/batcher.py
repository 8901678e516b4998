"""Which changes go into a batch, and when it is due. Pure: it is told what time it is."""

import heapq
from collections.abc import Iterator
from typing import Final, Literal, NamedTuple

from host.protocol.limits import CHANGES_LATEST_S, CHANGES_QUIET_S, MAX_BATCH_CHANGES
from host.protocol.messages.watching import FsChange
from host.watch.port import Change, ChangeKind

# Net changes below which a burst can still shrink to a batch that is complete.
_MAX_KNOWN_PATHS: Final = 10_000

_State = Literal["absent", "file", "directory"]


class Batch(NamedTuple):
    """What a client is told: by the paths' UTF-8 bytes. ``truncated``: it is not all, list again."""

    changes: list[FsChange]
    truncated: bool


class _Node:
    """A path of the burst: what was there before it, and what is there now; None where only what is below changed."""

    __slots__ = ("after", "before", "children")

    def __init__(self) -> None:
        self.before: _State | None = None
        self.after: _State | None = None
        self.children: dict[str, _Node] = {}

    def note(self, change: Change) -> None:
        here: _State = "directory" if change.is_dir else "file"
        if self.before is None:
            self.before = "absent" if change.kind == "create" else here
        self.after = "absent" if change.kind == "delete" else here

    @property
    def net_kind(self) -> ChangeKind | None:
        if self.before == self.after == "file":
            return "modify"
        if self.after == "absent":
            return None if self.before == "absent" else "delete"
        # Also what took the place of another kind, or a new directory that of an old one: it replaces all of that.
        return None if self.after is None else "create"


class Batcher:
    """Makes the net changes of a burst; times are seconds of a clock that never goes back.

    A burst is over when nothing changed for ``CHANGES_QUIET_S``, at the latest ``CHANGES_LATEST_S`` after
    its first change. Past ``max_known_paths`` only known paths are followed, and the batch is truncated.
    """

    def __init__(self, *, max_known_paths: int = _MAX_KNOWN_PATHS) -> None:
        self._max_known_paths = max_known_paths
        self._begin()

    def _begin(self) -> None:
        self._root = _Node()
        self._known_paths = 0
        self._is_truncated = False
        self._is_lost = False
        self._first_s: float | None = None
        self._last_s = 0.0

    @property
    def due_s(self) -> float | None:
        """When to take the batch; None while there is nothing to wait for."""
        if self._first_s is None:
            return None
        return min(self._last_s + CHANGES_QUIET_S, self._first_s + CHANGES_LATEST_S)

    def add(self, now_s: float, change: Change) -> None:
        """Note what happened; the changes of one burst in the order in which they happened."""
        self._touch(now_s)
        if self._is_lost:
            return
        *above, name = change.path.split("/")
        parent = self._directory(above)
        node = parent and self._child(parent, name)
        if parent is None or node is None:
            self._is_truncated = True
            return
        node.note(change)
        if change.kind == "delete":
            self._forget_below(node)
            if node.before == "absent":
                del parent.children[name]
                self._known_paths -= 1

    def lose(self, now_s: float) -> None:
        """Note that changes went unseen: a client must list again, whatever else is known."""
        self._touch(now_s)
        self._root = _Node()
        self._known_paths = 0
        self._is_lost = True

    def take(self) -> Batch | None:
        """The batch, and begin the next one; None when nothing is left of the burst."""
        if self._is_lost:
            batch = Batch([], truncated=True)
        else:
            # One more than is told, to know whether there is more. Code points sort as their UTF-8 bytes do.
            net = heapq.nsmallest(MAX_BATCH_CHANGES + 1, _net_changes(self._root), key=lambda change: change.path)
            batch = Batch(net[:MAX_BATCH_CHANGES], truncated=self._is_truncated or len(net) > MAX_BATCH_CHANGES)
        self._begin()
        return batch if batch.changes or batch.truncated else None

    def _touch(self, now_s: float) -> None:
        if self._first_s is None:
            self._first_s = now_s
        self._last_s = now_s

    def _directory(self, names: list[str]) -> _Node | None:
        node: _Node | None = self._root
        for name in names:
            node = node and self._child(node, name)
        return node

    def _child(self, node: _Node, name: str) -> _Node | None:
        """The node of this name, made if there is room for it."""
        child = node.children.get(name)
        if child is None and self._known_paths < self._max_known_paths:
            child = node.children[name] = _Node()
            self._known_paths += 1
        return child

    def _forget_below(self, node: _Node) -> None:
        self._known_paths -= sum(1 for _ in _below(node))
        node.children = {}


def _net_changes(root: _Node) -> Iterator[FsChange]:
    for path, node in _below(root):
        if (kind := node.net_kind) is not None:
            yield FsChange(kind, path)


def _below(root: _Node) -> Iterator[tuple[str, _Node]]:
    """Every node below this one, with its path from here."""
    # No recursion: a path may have thousands of components.
    pending = [("", root)]
    while pending:
        above, node = pending.pop()
        for name, child in node.children.items():
            yield f"{above}{name}", child
            if child.children:
                pending.append((f"{above}{name}/", child))
