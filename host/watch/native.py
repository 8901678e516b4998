"""inotify(7) as the C library has it."""

import ctypes
import errno
import os
import struct
import sys
from typing import Final, NamedTuple

IN_MODIFY: Final = 0x2
IN_ATTRIB: Final = 0x4
IN_CLOSE_WRITE: Final = 0x8
IN_MOVED_FROM: Final = 0x40
IN_MOVED_TO: Final = 0x80
IN_CREATE: Final = 0x100
IN_DELETE: Final = 0x200
IN_MOVE_SELF: Final = 0x800
IN_Q_OVERFLOW: Final = 0x4000
IN_IGNORED: Final = 0x8000

_IN_ONLYDIR: Final = 0x01000000
_IN_DONT_FOLLOW: Final = 0x02000000
_IN_EXCL_UNLINK: Final = 0x04000000
_IN_MASK_ADD: Final = 0x20000000
# Of one inode there is one watch: what one of its holders asks for must not take from another.
_HOW: Final = _IN_ONLYDIR | _IN_DONT_FOLLOW | _IN_EXCL_UNLINK | _IN_MASK_ADD

_HEADER: Final = struct.Struct("iIII")
_READ_BYTES: Final = 256 * 1024

_libc: Final = ctypes.CDLL(None, use_errno=True) if sys.platform == "linux" else None


class Event(NamedTuple):
    """``name`` is that of an entry of the watched directory, as ``os`` functions give it; empty for itself."""

    watch: int
    mask: int
    name: str


class Inotify:
    """One inotify instance; all functions raise OSError."""

    def __init__(self) -> None:
        if _libc is None or not os.path.isdir("/proc/self/fd"):
            raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS))
        self._libc = _libc
        self._descriptor = _checked(_libc.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC))

    def fileno(self) -> int:
        return self._descriptor

    def add(self, descriptor: int, mask: int) -> int:
        """Watch an open directory; what it was watched for already stays. The same directory has the same number."""
        # By its descriptor, so that no rename can lead elsewhere; the dot makes it no link.
        path = b"/proc/self/fd/%d/." % descriptor
        return _checked(self._libc.inotify_add_watch(self._descriptor, path, mask | _HOW))

    def remove(self, watch: int) -> None:
        """A watch that the kernel has ended already is no error."""
        self._libc.inotify_rm_watch(self._descriptor, watch)

    def read(self) -> list[Event]:
        """What waits, but not more than some thousand events; empty if nothing does."""
        try:
            raw = os.read(self._descriptor, _READ_BYTES)
        except BlockingIOError:
            return []
        return _parsed(raw)

    def close(self) -> None:
        os.close(self._descriptor)


def _parsed(raw: bytes) -> list[Event]:
    events: list[Event] = []
    position = 0
    while position < len(raw):
        watch, mask, _, length = _HEADER.unpack_from(raw, position)
        position += _HEADER.size
        name = raw[position : position + length].rstrip(b"\0")
        position += length
        events.append(Event(watch, mask, os.fsdecode(name)))
    return events


def _checked(result: int) -> int:
    if result < 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))
    return result
