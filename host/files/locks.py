"""A bounded set of locks for any number of files."""

from collections.abc import Hashable, Iterator
from contextlib import contextmanager
from threading import Lock
from typing import Final

from host.protocol.errors import DaemonBusy

_STRIPES: Final = 64
LOCK_TIMEOUT_S: Final = 10.0


class StripedLocks:
    """Holders of the same key never overlap. Different keys may share a lock, so hold one at a time."""

    def __init__(self, timeout_s: float = LOCK_TIMEOUT_S) -> None:
        self._locks = tuple(Lock() for _ in range(_STRIPES))
        self._timeout_s = timeout_s

    @contextmanager
    def held(self, key: Hashable) -> Iterator[None]:
        """Raises DaemonBusy when another holder doesn't end in time."""
        lock = self._locks[hash(key) % _STRIPES]
        if not lock.acquire(timeout=self._timeout_s):
            raise DaemonBusy("Another write to this file has not ended yet. Try again in a moment.")
        try:
            yield
        finally:
            lock.release()
