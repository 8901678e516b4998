"""A bounded set of locks for any number of files."""

import os
from collections.abc import Hashable, Iterator
from contextlib import ExitStack, contextmanager
from threading import Lock
from typing import Final

from host.paths.door import Place
from host.protocol.errors import DaemonBusy

_STRIPES: Final = 64
LOCK_TIMEOUT_S: Final = 10.0


class StripedLocks:
    """Holders of a same key never overlap. Different keys may share a lock: take all that are needed at once."""

    def __init__(self, timeout_s: float = LOCK_TIMEOUT_S) -> None:
        self._locks = tuple(Lock() for _ in range(_STRIPES))
        self._timeout_s = timeout_s

    @contextmanager
    def held(self, *keys: Hashable) -> Iterator[None]:
        """Raises DaemonBusy when another holder doesn't end in time."""
        with ExitStack() as taken:
            # In one order for all, so that nobody waits for who waits for him.
            for stripe in sorted({hash(key) % _STRIPES for key in keys}):
                lock = self._locks[stripe]
                if not lock.acquire(timeout=self._timeout_s):
                    raise DaemonBusy("Another change of this file has not ended yet. Try again in a moment.")
                taken.callback(lock.release)
            yield


def keys_of(place: Place) -> tuple[Hashable, ...]:
    """What stands for an entry, and for the file that it shares with other hard links."""
    parent = os.fstat(place.parent)
    entry = (parent.st_dev, parent.st_ino, place.name)
    status = place.status()
    return (entry,) if status is None or status.st_nlink == 1 else (entry, (status.st_dev, status.st_ino))
