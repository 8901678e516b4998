"""Making what happened to a directory's entries last."""

import os
from contextlib import suppress


def sync_directory(directory: int) -> None:
    """Entries that were added, renamed or removed outlast a power cut. ``directory`` may be open for looking only.

    Never raises: what was done stays done, and a failure says only that a power cut could undo it.
    """
    with suppress(OSError):
        descriptor = os.open(".", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=directory)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
