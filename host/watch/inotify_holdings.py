"""Single directories that are watched by inotify, by their paths."""

import os
from collections.abc import Callable, Collection
from contextlib import suppress
from functools import partial
from pathlib import Path
from stat import S_ISDIR
from typing import Final

from host.watch import native
from host.watch.crawl import WatchRefused
from host.watch.inotify_watches import InotifyWatches

APPEARING: Final = native.IN_CREATE | native.IN_MOVED_TO
ENTRIES: Final = APPEARING | native.IN_DELETE | native.IN_MOVED_FROM
CONTENTS: Final = ENTRIES | native.IN_MODIFY | native.IN_CLOSE_WRITE
ITSELF: Final = native.IN_MOVE_SELF

_OPEN: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


class _Held:
    """Whom to call for one directory."""

    watch = 0

    def __init__(
        self, noticed: Callable[[str, int], None], ended: Callable[[], None], forget: Callable[["_Held"], None]
    ) -> None:
        self.noticed = noticed
        self._ended = ended
        self._forget = forget

    def ended(self) -> None:
        self._forget(self)
        self._ended()


class Holdings:
    """A directory that can't be watched is left out."""

    def __init__(self, watches: InotifyWatches) -> None:
        self._watches = watches
        self._held: dict[Path, _Held] = {}

    def __len__(self) -> int:
        return len(self._held)

    def hold(self, path: Path, mask: int, noticed: Callable[[str, int], None], ended: Callable[[], None]) -> None:
        """What was held at that path is held no more."""
        before = self._held.pop(path, None)
        with suppress(OSError, WatchRefused):
            descriptor = os.open(path, _OPEN)
            try:
                held = _Held(noticed, ended, partial(self._forget, path))
                held.watch = self._watches.hold(descriptor, held, mask)
            finally:
                os.close(descriptor)
            self._held[path] = held
        if before is not None:
            self._watches.release(before.watch, before)

    def release_all_but(self, paths: Collection[Path] = ()) -> None:
        for path in self._held.keys() - set(paths):
            held = self._held.pop(path)
            self._watches.release(held.watch, held)

    def _forget(self, path: Path, held: _Held) -> None:
        if self._held.get(path) is held:
            del self._held[path]


def is_directory(path: Path) -> bool:
    """Links are not followed."""
    try:
        return S_ISDIR(os.lstat(path).st_mode)
    except OSError:
        return False
