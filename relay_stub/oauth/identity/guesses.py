"""Guessing is slowed: after some wrong answers each further one is waited for longer."""

import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from host.protocol.errors import RateLimited
from relay_stub.addresses import network_of

MAX_ADDRESSES: Final = 10_000
# A passcode has 100 bits, so that this is about load and noise; nobody is locked out for longer than the cap.
_FORGOTTEN_AFTER_S: Final = 3600.0


@dataclass(frozen=True)
class _Patience:
    """``free`` wrong answers cost nothing, the next ``first_s`` seconds, each further one twice as much."""

    free: int
    first_s: float
    cap_s: float

    def delay_s(self, failures: int) -> float:
        if failures <= self.free:
            return 0.0
        # The exponent is bounded because a float is.
        return min(self.first_s * 2.0 ** min(failures - self.free - 1, 60), self.cap_s)


FOR_ONE: Final = _Patience(free=4, first_s=1.0, cap_s=900.0)
# Capped low: whoever guesses from many places must not keep the owner out.
FOR_ALL: Final = _Patience(free=50, first_s=0.1, cap_s=5.0)


@dataclass
class _Record:
    failures: int = 0
    last_s: float = 0.0
    closed_until_s: float = 0.0


class Guesses:
    """Counts wrong answers by address and in all; forgets an address after an hour without one.

    ``is_known`` says of an address whether somebody is signed in from there: it does not wait for what others
    guess, who could keep everybody waiting for as long as they like. ``clock`` is monotonic, in seconds.
    """

    def __init__(
        self, is_known: Callable[[str], bool] = lambda _: False, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._is_known = is_known
        self._clock = clock
        self._everybody = _Record()
        self._records: OrderedDict[str, _Record] = OrderedDict()

    def begin(self, address: str) -> None:
        """Count an answer as wrong before it is looked at, so that many at once gain nothing.

        Raises RateLimited while answers from there, or from anywhere, have to wait; those aren't counted.
        """
        record, now_s = self._record_of(network_of(address)), self._clock()
        wait_s = record.closed_until_s - now_s
        if self._everybody.closed_until_s - now_s > max(wait_s, 0) and not self._is_known(address):
            wait_s = self._everybody.closed_until_s - now_s
        if wait_s > 0:
            message = f"Too many wrong passcodes were entered. Try again in {max(round(wait_s), 1)} s."
            raise RateLimited(message, retry_after_ms=max(round(wait_s * 1000), 1))
        for counted, patience in ((record, FOR_ONE), (self._everybody, FOR_ALL)):
            _forget_old(counted, now_s)
            counted.failures += 1
            counted.last_s = now_s
            counted.closed_until_s = now_s + patience.delay_s(counted.failures)

    def succeeded(self, address: str) -> None:
        """The answer was right after all."""
        self._records.pop(network_of(address), None)
        self._everybody.failures = max(self._everybody.failures - 1, 0)
        self._everybody.closed_until_s = 0.0

    def _record_of(self, key: str) -> _Record:
        record = self._records.setdefault(key, _Record())
        self._records.move_to_end(key)
        if len(self._records) > MAX_ADDRESSES:
            self._records.popitem(last=False)
        return record


def _forget_old(record: _Record, now_s: float) -> None:
    if now_s - record.last_s >= _FORGOTTEN_AFTER_S:
        record.failures = 0
