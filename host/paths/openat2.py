"""openat2(2): the kernel itself keeps a look-up beneath a directory (Linux 5.6 and later)."""

import ctypes
import errno
import os
import sys
from typing import Final

from host.paths.relative import RelativePath, leaves_root, unescaped_name
from host.paths.walk import open_by_walk

# The same on every architecture that Python runs on, Alpha apart (linux/arch/*/syscall.tbl).
_SYSCALL: Final = 437
_RESOLVE_NO_MAGICLINKS: Final = 0x02
_RESOLVE_BENEATH: Final = 0x08
# The kernel gives up on ".." while anything is renamed anywhere; then the walk does it.
_MAX_ATTEMPTS: Final = 16


class _OpenHow(ctypes.Structure):
    _fields_ = (("flags", ctypes.c_uint64), ("mode", ctypes.c_uint64), ("resolve", ctypes.c_uint64))


_libc: Final = ctypes.CDLL(None, use_errno=True) if sys.platform == "linux" else None


def open_by_openat2(root: int, path: RelativePath, flags: int) -> int:
    """Open ``path`` below the directory ``root``; the caller closes. See ``OpenBeneath``."""
    raw = b"/".join(path.parts) or b"."
    try:
        return _open_patiently(root, raw, flags)
    except OSError as exc:
        if exc.errno == errno.EXDEV:
            raise leaves_root(path.text) from exc
        if exc.errno in {errno.EAGAIN, errno.ENAMETOOLONG, errno.ELOOP} or _may_be_escaped(exc, path):
            return open_by_walk(root, path, flags)
        raise


def is_supported() -> bool:
    """Whether this kernel, and what confines this process, offers openat2."""
    try:
        os.close(_open(-100, b".", os.O_PATH | os.O_DIRECTORY))
    except (OSError, AttributeError):
        return False
    return True


def _may_be_escaped(error: OSError, path: RelativePath) -> bool:
    return error.errno == errno.ENOENT and any(unescaped_name(part) is not None for part in path.parts)


def _open_patiently(root: int, raw: bytes, flags: int) -> int:
    for _ in range(_MAX_ATTEMPTS - 1):
        try:
            return _open(root, raw, flags)
        except BlockingIOError:
            continue
    return _open(root, raw, flags)


def _open(root: int, raw: bytes, flags: int) -> int:
    if _libc is None:
        raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS))
    how = _OpenHow(flags | os.O_CLOEXEC, 0, _RESOLVE_BENEATH | _RESOLVE_NO_MAGICLINKS)
    descriptor: int = _libc.syscall(
        ctypes.c_long(_SYSCALL),
        ctypes.c_int(root),
        ctypes.c_char_p(raw),
        ctypes.byref(how),
        ctypes.c_size_t(ctypes.sizeof(how)),
    )
    if descriptor < 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))
    return descriptor
