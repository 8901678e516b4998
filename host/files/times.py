"""Modification times on the wire, made thousands at a time."""

from datetime import UTC, datetime
from functools import lru_cache
from typing import Final

NS_A_MILLISECOND: Final = 1_000_000


def modified_at(time_ns: int) -> str:
    """RFC 3339 UTC with milliseconds, truncated. A time that no calendar holds becomes the epoch."""
    return millisecond_text(time_ns // NS_A_MILLISECOND)


# Files that were checked out or built together share milliseconds; others, often, seconds.
@lru_cache(maxsize=8192)
def millisecond_text(milliseconds: int) -> str:
    """The same from milliseconds since the epoch; for loops over thousands of files."""
    return f"{_second(milliseconds // 1000)}.{milliseconds % 1000:03d}Z"


@lru_cache(maxsize=4096)
def _second(seconds: int) -> str:
    try:
        return datetime.fromtimestamp(seconds, UTC).isoformat()[:19]
    except (OverflowError, ValueError, OSError):
        return "1970-01-01T00:00:00"
