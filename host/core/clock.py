"""Times on the wire: RFC 3339, UTC, milliseconds; and how long the machine was asleep."""

import sys
import time
from datetime import UTC, datetime, timedelta
from typing import Protocol


class Clock(Protocol):
    """Seconds since the epoch; injected so that tests decide what time it is."""

    def __call__(self) -> float: ...


def rfc3339(epoch_s: float) -> str:
    """``2026-02-12T10:00:00.123Z``; truncated to the millisecond."""
    return datetime.fromtimestamp(epoch_s, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def milliseconds_between(earlier: str, later: str) -> int:
    """Between two RFC 3339 times; never negative, also where the clock was set back."""
    return max(0, (datetime.fromisoformat(later) - datetime.fromisoformat(earlier)) // timedelta(milliseconds=1))


def now_rfc3339() -> str:
    return rfc3339(time.time())


def asleep_s() -> float:
    """How long this machine has slept since it was started; 0 where that can't be told."""
    if sys.platform == "linux":
        return time.clock_gettime(time.CLOCK_BOOTTIME) - time.clock_gettime(time.CLOCK_MONOTONIC)
    if sys.platform == "darwin":
        return time.clock_gettime(time.CLOCK_MONOTONIC) - time.clock_gettime(time.CLOCK_UPTIME_RAW)
    return 0.0
