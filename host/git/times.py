"""Git's times, which anybody may have written. Pure."""

from functools import lru_cache

from host.core.clock import rfc3339


# Commits that were made together, by a rebase or a script, share seconds.
@lru_cache(maxsize=4096)
def commit_time(seconds: bytes) -> str:
    """RFC 3339 UTC with milliseconds, of seconds since the epoch. A time that no calendar holds becomes the epoch."""
    try:
        return rfc3339(int(seconds))
    except (ValueError, OverflowError, OSError):
        return rfc3339(0)
