"""How the process keeps its heap (docs/adr/0007). On other C libraries than glibc both functions do nothing."""

import ctypes
from functools import cache
from typing import Final

from host.protocol.limits import MIB

# mallopt(3)
_M_TRIM_THRESHOLD: Final = -1
_M_MMAP_THRESHOLD: Final = -3
_M_ARENA_MAX: Final = -8
# The largest that glibc takes is 32 MiB: what is larger is always mapped anew.
_LARGEST_KEPT_BYTES: Final = 32 * MIB
_MOST_KEPT_BYTES: Final = 128 * MIB


def keep_freed_memory() -> None:
    """Keep what is freed for the next large message instead of having it faulted in anew each time."""
    if (libc := _glibc()) is not None:
        # Of several arenas each would keep that much, and only one can be trimmed whole.
        libc.mallopt(_M_ARENA_MAX, 1)
        libc.mallopt(_M_MMAP_THRESHOLD, _LARGEST_KEPT_BYTES)
        libc.mallopt(_M_TRIM_THRESHOLD, _MOST_KEPT_BYTES)


def give_memory_back() -> None:
    """Return what is free to the system. Takes milliseconds at most."""
    if (libc := _glibc()) is not None:
        libc.malloc_trim(0)


@cache
def _glibc() -> ctypes.CDLL | None:
    try:
        libc = ctypes.CDLL(None)
    except (OSError, TypeError):
        return None
    return libc if hasattr(libc, "gnu_get_libc_version") else None
