"""Renaming to a name that must be free."""

import ctypes
import errno
import os
import sys
from contextlib import suppress
from stat import S_ISDIR
from typing import Any, Final

_RENAME_NOREPLACE: Final = 1
# An old kernel, what confines this process, or a file system that doesn't know the flag.
_NOT_OFFERED: Final = frozenset({errno.ENOSYS, errno.EINVAL, errno.EPERM, errno.EOPNOTSUPP})


def rename_to_free_name(source: bytes, to: bytes, source_directory: int, to_directory: int) -> None:
    """Rename, but replace nothing: FileExistsError then, else OSError as of ``os.rename``."""
    try:
        rename_by_kernel(source, to, source_directory, to_directory)
    except OSError as exc:
        if exc.errno not in _NOT_OFFERED:
            raise
        rename_by_link(source, to, source_directory, to_directory)


def rename_by_kernel(source: bytes, to: bytes, source_directory: int, to_directory: int) -> None:
    """renameat2(2): the look and the change are one."""
    if _renameat2 is None:
        raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS))
    if _renameat2(source_directory, source, to_directory, to, _RENAME_NOREPLACE) != 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))


def rename_by_link(source: bytes, to: bytes, source_directory: int, to_directory: int) -> None:
    """The same for every POSIX system: files are linked, which replaces nothing either.

    Only for directories, and where there are no hard links, another process may still come
    between the look and the change, and have an empty directory or a file replaced.
    """
    if not S_ISDIR(os.stat(source, dir_fd=source_directory, follow_symlinks=False).st_mode):
        try:
            os.link(source, to, src_dir_fd=source_directory, dst_dir_fd=to_directory, follow_symlinks=False)
        except OSError as exc:
            if exc.errno not in _NOT_OFFERED:
                raise
        else:
            _unlink_or_undo(source, to, source_directory, to_directory)
            return
    with suppress(FileNotFoundError):
        os.stat(to, dir_fd=to_directory, follow_symlinks=False)
        raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST))
    os.rename(source, to, src_dir_fd=source_directory, dst_dir_fd=to_directory)


def _unlink_or_undo(source: bytes, to: bytes, source_directory: int, to_directory: int) -> None:
    try:
        os.unlink(source, dir_fd=source_directory)
    except OSError:
        os.unlink(to, dir_fd=to_directory)
        raise


def _find_renameat2() -> Any:
    if sys.platform != "linux":
        return None
    found = getattr(ctypes.CDLL(None, use_errno=True), "renameat2", None)
    if found is not None:
        found.argtypes = (ctypes.c_int, ctypes.c_char_p, ctypes.c_int, ctypes.c_char_p, ctypes.c_uint)
    return found


_renameat2: Final = _find_renameat2()
