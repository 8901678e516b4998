"""What the watchfiles library tells, of any number of directories. Nothing it says is relied on."""

import logging
import math
import threading
from collections.abc import Callable, Generator, Iterable
from pathlib import Path
from typing import Final

from watchfiles import watch
from watchfiles.main import FileChange

logger = logging.getLogger(__name__)

_QUIET_MS: Final = 50
_LATEST_MS: Final = 200
# Until ``wake`` is noticed.
_WAIT_MS: Final = 300
# After the library failed, as it does for each name that is not UTF-8.
_RETRY_S: Final = 2.0

# A directory, and what tells it from another at the same path.
Place = tuple[Path, tuple[int, int]]


class HintStream:
    """Paths below ``places`` of which something changed. For one thread, but for ``wake``."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._woken = threading.Event()
        self._places: frozenset[Place] = frozenset()
        self._retry_s = -math.inf
        self._told: set[FileChange] = set()
        self._stream: Generator[set[FileChange], None, None] | None = None

    def wait(self, timeout_s: float) -> None:
        """Until there is something to take, ``wake`` was called, or the time is over."""
        if timeout_s == 0.0:
            return
        if self._stream is None:
            self._woken.wait(min(timeout_s, _RETRY_S))
        else:
            self._read()
        self._woken.clear()

    def wake(self) -> None:
        self._woken.set()

    def follow(self, places: Iterable[Place]) -> bool:
        """Watch these from now on. Returns whether it begins anew: what was not told before is not told any more."""
        wanted = frozenset(places)
        is_begun = self._stream is not None or not wanted
        if (wanted == self._places and is_begun) or self._clock() < self._retry_s:
            return False
        self.close()
        self._places = wanted
        if wanted:
            self._stream = watch(
                *(path for path, _ in wanted),
                watch_filter=None,
                debounce=_LATEST_MS,
                step=_QUIET_MS,
                rust_timeout=_WAIT_MS,
                yield_on_timeout=True,
                raise_interrupt=False,
                ignore_permission_denied=True,
            )
            # It begins to watch only when it is read.
            self._read()
        return True

    def take(self) -> set[FileChange]:
        told, self._told = self._told, set()
        return told

    def close(self) -> None:
        if self._stream is not None:
            self._stream.close()
            self._stream = None

    def _read(self) -> None:
        if self._stream is None:
            return
        try:
            self._told |= next(self._stream, set())
        except (RuntimeError, OSError) as exc:
            logger.warning("watchfiles failed, and begins anew: %s", exc)
            self.close()
            self._retry_s = self._clock() + _RETRY_S
