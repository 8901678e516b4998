"""How often strangers may ask: token buckets for each address and for all of them together."""

import time
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final, Literal

from host.protocol.errors import RateLimited
from relay_stub.addresses import network_of

# What a stranger may do. Each has buckets of its own.
Deed = Literal["page", "connect", "exchange", "refresh", "revoke", "device_authorize", "device_token", "user_code"]

MAX_ADDRESSES: Final = 10_000
# All addresses together, for the load. So much that a few of them can't use it up and keep everybody out.
_IN_ALL: Final = 100
# Tighter where strangers guess, or fill what is bounded.
_IN_ALL_OF: Final[Mapping[Deed, int]] = {"user_code": 10, "device_authorize": 10}


@dataclass(frozen=True)
class Rate:
    """``burst`` at once, then ``per_s`` a second."""

    per_s: float
    burst: int

    def times(self, factor: int) -> "Rate":
        return Rate(self.per_s * factor, self.burst * factor)


# For one address.
DEFAULT_RATES: Final[Mapping[Deed, Rate]] = {
    "page": Rate(2, 60),
    "connect": Rate(2, 60),
    "exchange": Rate(0.5, 20),
    "refresh": Rate(2, 60),
    "revoke": Rate(0.5, 20),
    "device_authorize": Rate(0.2, 10),
    "device_token": Rate(5, 60),
    "user_code": Rate(0.3, 20),
}
# Where only this machine comes in: enough for any test, and still a bound.
LOCAL_RATES: Final[Mapping[Deed, Rate]] = {deed: rate.times(1000) for deed, rate in DEFAULT_RATES.items()}


class RateLimits:
    """Knows at most ``MAX_ADDRESSES`` addresses a deed; past it forgets the one that asked longest ago.

    ``clock`` is monotonic, in seconds.
    """

    def __init__(
        self, rates: Mapping[Deed, Rate] = DEFAULT_RATES, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._single = {deed: _Buckets(rate, clock) for deed, rate in rates.items()}
        self._in_all = {
            deed: _Buckets(rate.times(_IN_ALL_OF.get(deed, _IN_ALL)), clock) for deed, rate in rates.items()
        }

    def check(self, deed: Deed, address: str) -> None:
        """Count one deed. Raises RateLimited, which says when to come again, when it is one too many."""
        for buckets, key in ((self._single[deed], network_of(address)), (self._in_all[deed], "")):
            wait_s = buckets.take(key)
            if wait_s > 0:
                message = "Too many requests from this address, or in all. Try again in a moment."
                raise RateLimited(message, retry_after_ms=max(round(wait_s * 1000), 1))


class _Buckets:
    def __init__(self, rate: Rate, clock: Callable[[], float]) -> None:
        self._rate = rate
        self._clock = clock
        # How full each is, and when that was so; the longest unused first.
        self._levels: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def take(self, key: str) -> float:
        """Take one token; return 0, or how many seconds there is none yet."""
        now_s = self._clock()
        level, at_s = self._levels.pop(key, (float(self._rate.burst), now_s))
        level = min(level + (now_s - at_s) * self._rate.per_s, self._rate.burst)
        # A hair's breadth for what is lost in adding fractions.
        is_full = level >= 1 - 1e-9
        self._levels[key] = (level - is_full, now_s)
        if len(self._levels) > MAX_ADDRESSES:
            self._levels.popitem(last=False)
        return 0.0 if is_full else (1 - level) / self._rate.per_s
