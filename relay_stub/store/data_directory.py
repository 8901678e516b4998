"""The directory that holds what the relay keeps: private to its user, and one relay's at a time."""

import fcntl
import os
from pathlib import Path


class StoreError(Exception):
    """The relay's data can't be used. The message is a full sentence for whoever runs the relay."""


class DirectoryInUse(StoreError):
    """A relay is running on this directory."""


def make_private_directory(directory: Path) -> None:
    """Make the directory, and missing parents, with mode 0700 whatever the umask.

    One that is there already keeps its mode: it may be a mount point, or hold other things too.
    Raises OSError.
    """
    if directory.is_dir():
        return
    make_private_directory(directory.parent)
    directory.mkdir(mode=0o700, exist_ok=True)
    directory.chmod(0o700)


def open_private_file(path: Path) -> int:
    """Open the file for reading and writing, make it if need be, and set its mode to 0600. Raises OSError."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    os.fchmod(descriptor, 0o600)
    return descriptor


def lock_directory(directory: Path) -> int:
    """Hold ``relay.lock`` for as long as the returned descriptor is open, however the process ends.

    Raises DirectoryInUse if another relay holds it, OSError if the file can't be made.
    """
    descriptor = open_private_file(directory / "relay.lock")
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as exc:
        os.close(descriptor)
        raise DirectoryInUse(
            f"Another relay is running on the data directory {directory}. Stop it, or choose another directory."
        ) from exc
    return descriptor
