"""The numbers of a project's batches: contiguous while changes are seen, and none is ever used twice."""

from collections.abc import Awaitable, Callable
from typing import Final

from host.core.clock import asleep_s

# So many are stored as used at once, before the first of them is; what a crash leaves of them is never used.
_BLOCK: Final = 256
# More than one batch can need.
_LOW: Final = 8
# Less is what the clocks of some systems differ by.
_SLEEP_S: Final = 1.0


class BatchNumbers:
    """``stored`` is the highest number that may have been used; ``store`` makes a higher one durable.

    Whoever sees a gap lists again. There is one after each ``skip``, and where the machine slept.
    """

    def __init__(
        self, stored: int, store: Callable[[int], Awaitable[None]], *, asleep_s: Callable[[], float] = asleep_s
    ) -> None:
        self._store = store
        self._last = stored
        self._reserved = stored
        self._owes_skip = False
        self._asleep_s = asleep_s
        self._noticed_sleep_s = asleep_s()

    @property
    def last(self) -> int:
        """The number that was used or skipped last: what is listed from now on holds all batches up to it."""
        self._notice_sleep()
        return self._last

    async def reserve(self) -> None:
        """To be awaited before each ``take``; rarely stores anything. Raises what ``store`` raises."""
        if self._reserved - self._last < _LOW:
            wanted = self._last + _BLOCK
            await self._store(wanted)
            self._reserved = wanted
        if self._owes_skip:
            self._owes_skip = False
            self.skip()

    def take(self) -> int:
        """The next batch's number."""
        self._notice_sleep()
        if self._last >= self._reserved:
            raise RuntimeError("A batch's number was taken that is not reserved.")
        self._last += 1
        return self._last

    def skip(self) -> None:
        """Leave a number out: something may have changed that no batch tells."""
        if self._last < self._reserved:
            self._last += 1
        else:
            self._owes_skip = True

    def _notice_sleep(self) -> None:
        asleep_s = self._asleep_s()
        if asleep_s - self._noticed_sleep_s > _SLEEP_S:
            self.skip()
        self._noticed_sleep_s = asleep_s
