"""What the operating system's refusals mean to a person, in one place."""

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from host.protocol.errors import FileAccessFailed, FileNotFound, InvalidRequest, ProtocolError

# What a directory that is not empty says, by system.
NOT_EMPTY: Final = frozenset({errno.ENOTEMPTY, errno.EEXIST})

_ABSENT: Final = frozenset({errno.ENOENT, errno.ENOTDIR})
_REASONS: Final = {
    errno.ENOSPC: "noSpace",
    errno.EDQUOT: "noSpace",
    errno.EFBIG: "noSpace",
    errno.EACCES: "permissionDenied",
    errno.EPERM: "permissionDenied",
    errno.EROFS: "readOnly",
    errno.EBUSY: "mountPoint",
    errno.EXDEV: "otherFileSystem",
}
_ADVICE: Final = {
    "noSpace": "There is no space left for it on the machine. Free some there and try again.",
    "permissionDenied": "The user that runs the daemon may not access it. Change its permissions on the machine.",
    "readOnly": "It lies on a read-only file system. Mount that writable on the machine, or write elsewhere.",
    "mountPoint": "Another file system is mounted on it. Unmount that on the machine first.",
    "otherFileSystem": "Its new place is on another file system, to which nothing is moved. Copy it on the machine.",
    "ioError": "The machine's file system failed. Look at its disk and system log, then try again.",
}


@contextmanager
def telling(path: str, field: str = "path") -> Iterator[None]:
    """Turn an OSError about ``path`` into the error of the contract that a peer is told.

    ``field`` is the member of the request that the path came in.
    """
    try:
        yield
    except OSError as exc:
        raise failure(exc, path, field) from exc


def failure(error: OSError, path: str, field: str = "path") -> ProtocolError:
    """FileNotFound, InvalidRequest, or FileAccessFailed with ``details`` ``{reason, path}``."""
    if error.errno in _ABSENT:
        return FileNotFound(f"{named(path)} does not exist. List its directory again.", path=path)
    if error.errno == errno.ELOOP:
        return InvalidRequest.of_field(field, "Its symbolic links lead in a circle, or through too many others.")
    if error.errno == errno.ENAMETOOLONG:
        return InvalidRequest.of_field(field, "A name in it is longer, or it is deeper, than can be opened.")
    reason, advice = refusal(error)
    return FileAccessFailed(f"{named(path)} could not be accessed. {advice}", reason=reason, path=path)


def refusal(error: OSError) -> tuple[str, str]:
    """``details.reason`` for a file system that refuses, and a sentence that says what to do."""
    reason = _REASONS.get(error.errno or 0, "ioError")
    return reason, _ADVICE[reason]


def named(path: str) -> str:
    """A path as the subject of a sentence."""
    return path or "The project's root"
