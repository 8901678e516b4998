"""The one inotify instance, and who holds which of its watches."""

import errno
from collections.abc import Callable
from typing import Final, Protocol

from host.watch import hints, native, problems
from host.watch.crawl import WatchRefused
from host.watch.directory import Directory
from host.watch.native import Inotify

_OF_DIRECTORIES: Final = (
    native.IN_MODIFY
    | native.IN_ATTRIB
    | native.IN_CLOSE_WRITE
    | native.IN_MOVED_FROM
    | native.IN_MOVED_TO
    | native.IN_CREATE
    | native.IN_DELETE
)
_HINTS: Final = {
    native.IN_MODIFY: hints.CONTENT,
    native.IN_CLOSE_WRITE: hints.CONTENT,
    native.IN_ATTRIB: hints.ATTRIBUTES,
    native.IN_MOVED_FROM: hints.STRUCTURE,
    native.IN_MOVED_TO: hints.STRUCTURE,
    native.IN_CREATE: hints.STRUCTURE,
    native.IN_DELETE: hints.STRUCTURE,
    native.IN_MOVE_SELF: hints.MOVED_ITSELF,
}
_ALL: Final = (1 << 12) - 1
_LIMITS: Final = frozenset({errno.ENOSPC, errno.ENOMEM})


class Holder(Protocol):
    """Who is told of a directory."""

    def noticed(self, name: str, said: int) -> None:
        """Something about an entry changed, or about the directory itself if ``name`` is empty. See ``hints``."""

    def ended(self) -> None:
        """Nothing more is told: the directory was removed, or unmounted."""


class InotifyWatches:
    """Of each directory the system has one watch, however many hold it: also the same directory at two places.

    Where the system gives no instance, every ``add`` is refused; ``try_again`` asks for one anew.
    """

    def __init__(self, open_inotify: Callable[[], Inotify] = Inotify) -> None:
        self._open_inotify = open_inotify
        self._inotify: Inotify | None = None
        self._problem: str | None = None
        self._holders: dict[int, tuple[Holder, ...]] = {}
        self.try_again()

    def __len__(self) -> int:
        return len(self._holders)

    @property
    def inotify(self) -> Inotify | None:
        return self._inotify

    def try_again(self) -> None:
        if self._inotify is None:
            try:
                self._inotify = self._open_inotify()
            except OSError as exc:
                self._problem = problems.no_instance(exc)

    def add(self, descriptor: int, directory: Directory) -> int:
        """Tell the directory of its entries. Raises WatchRefused, OSError."""
        return self.hold(descriptor, directory, _OF_DIRECTORIES)

    def drop(self, directory: Directory) -> None:
        self.release(directory.identity, directory)

    def hold(self, descriptor: int, holder: Holder, mask: int = _OF_DIRECTORIES) -> int:
        """Tell ``holder``, perhaps also of what others asked for. Returns the watch's number."""
        if self._inotify is None:
            raise WatchRefused(self._problem or "")
        try:
            watch = self._inotify.add(descriptor, mask)
        except OSError as exc:
            if exc.errno in _LIMITS:
                raise WatchRefused(problems.no_more_watches()) from exc
            raise
        holders = self._holders.setdefault(watch, (holder,))
        if holder not in holders:
            self._holders[watch] = (*holders, holder)
        return watch

    def release(self, watch: int, holder: Holder) -> None:
        holders = self._holders.get(watch)
        if holders is None or holder not in holders:
            return
        left = tuple(other for other in holders if other is not holder)
        if left:
            self._holders[watch] = left
            return
        del self._holders[watch]
        if self._inotify is not None:
            self._inotify.remove(watch)

    @property
    def tells_all(self) -> bool:
        return True

    def dispatch(self) -> bool:
        """Tell the holders what waits. Returns whether events were lost."""
        is_lost = False
        if self._inotify is None:
            return is_lost
        for watch, mask, name in self._inotify.read():
            if mask & native.IN_Q_OVERFLOW:
                is_lost = True
            elif mask & native.IN_IGNORED:
                for holder in self._holders.pop(watch, ()):
                    holder.ended()
            elif said := _HINTS.get(mask & _ALL, 0):
                for holder in self._holders.get(watch, ()):
                    holder.noticed(name, said)
        return is_lost

    def close(self) -> None:
        if self._inotify is not None:
            self._inotify.close()
            self._inotify = None
