"""Putting bytes into a directory's entry so that a failure leaves what was there."""

import errno
import os
from contextlib import suppress
from stat import S_IMODE, S_ISGID, S_ISUID
from typing import Final

from host.files.renaming import rename_to_free_name
from host.paths.durable import sync_directory

_NEW_FILE_MODE: Final = 0o666
_CREATE: Final = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_CHANGE: Final = os.O_RDWR | os.O_NONBLOCK | os.O_NOCTTY | os.O_NOFOLLOW | os.O_CLOEXEC
_CANNOT_RESERVE: Final = frozenset({errno.EOPNOTSUPP, errno.EINVAL, errno.ENOSYS})


def replace(
    directory: int,
    name: bytes,
    content: bytes,
    *,
    temporary: str,
    old: os.stat_result | None,
    must_be_free: bool,
    umask: int,
) -> os.stat_result:
    """Make ``name`` a file of ``content`` at one stroke, durably, with the mode and owner of ``old``.

    ``temporary`` is a name of nobody else's. Raises FileExistsError if ``name`` must be free
    and is not, also when another process took it just now; else OSError. Then what was there
    is untouched and nothing is left behind.
    """
    descriptor = _create(directory, temporary)
    try:
        try:
            _write_all(descriptor, content)
            _take_mode(descriptor, old, umask)
            os.fsync(descriptor)
            rename = rename_to_free_name if must_be_free else _rename_over
            rename(os.fsencode(temporary), name, directory, directory)
        except BaseException:
            with suppress(OSError):
                os.unlink(temporary, dir_fd=directory)
            raise
        sync_directory(directory)
        return os.fstat(descriptor)
    finally:
        os.close(descriptor)


def overwrite(directory: int, name: bytes, content: bytes) -> os.stat_result:
    """Change a file in place, for all the hard links to it.

    The space is reserved first, and what was there is put back if writing fails all the
    same; only a crash in the middle leaves some of both. Raises OSError.
    """
    descriptor = os.open(name, _CHANGE, dir_fd=directory)
    try:
        old_size = os.fstat(descriptor).st_size
        # Only what will be written over needs to be kept: what is longer is cut off when nothing can fail any more.
        kept = os.pread(descriptor, len(content), 0)
        try:
            _reserve(descriptor, len(content))
            _write_all(descriptor, content)
            os.fsync(descriptor)
            os.ftruncate(descriptor, len(content))
        except BaseException:
            with suppress(OSError):
                os.lseek(descriptor, 0, os.SEEK_SET)
                _write_all(descriptor, kept)
                os.ftruncate(descriptor, old_size)
            raise
        with suppress(OSError):  # The content is on the disk; what is left is its length.
            os.fsync(descriptor)
        return os.fstat(descriptor)
    finally:
        os.close(descriptor)


def refuse_unwritable(directory: int, name: bytes) -> None:
    """Raises OSError for a file that its own mode protects, which replacing it would get around."""
    if os.access(name, os.W_OK, dir_fd=directory, effective_ids=True):
        return
    # Opening it tells why. A program that runs can't be opened so, but may be replaced.
    try:
        os.close(os.open(name, os.O_WRONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=directory))
    except OSError as exc:
        if exc.errno != errno.ETXTBSY:
            raise


def _create(directory: int, temporary: str) -> int:
    try:
        return os.open(temporary, _CREATE, 0o600, dir_fd=directory)
    except FileExistsError:
        # Left by an earlier try of the same request: a name stands for one request.
        os.unlink(temporary, dir_fd=directory)
        return os.open(temporary, _CREATE, 0o600, dir_fd=directory)


def _rename_over(source: bytes, to: bytes, source_directory: int, to_directory: int) -> None:
    os.rename(source, to, src_dir_fd=source_directory, dst_dir_fd=to_directory)


def _write_all(descriptor: int, content: bytes) -> None:
    rest = memoryview(content)
    while rest:
        rest = rest[os.write(descriptor, rest) :]


def _take_mode(descriptor: int, old: os.stat_result | None, umask: int) -> None:
    if old is None:
        os.fchmod(descriptor, _NEW_FILE_MODE & ~umask)
        return
    mode = S_IMODE(old.st_mode)
    if not _take_owner(descriptor, old):
        # Else a program would run with rights of somebody it did not belong to.
        mode &= ~(S_ISUID | S_ISGID)
    os.fchmod(descriptor, mode)


def _take_owner(descriptor: int, old: os.stat_result) -> bool:
    """Whether owner and group are now those of ``old``; the group alone is better than nothing."""
    for owner in (old.st_uid, -1):
        with suppress(OSError):
            os.fchown(descriptor, owner, old.st_gid)
            break
    now = os.fstat(descriptor)
    return (now.st_uid, now.st_gid) == (old.st_uid, old.st_gid)


def _reserve(descriptor: int, size: int) -> None:
    if not size or not hasattr(os, "posix_fallocate"):
        return
    try:
        os.posix_fallocate(descriptor, 0, size)
    except OSError as exc:
        if exc.errno not in _CANNOT_RESERVE:
            raise
