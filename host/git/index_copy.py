"""The index, for a git that would write it."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from stat import S_ISREG
from tempfile import TemporaryDirectory
from typing import Final

_READ: Final = os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC


@contextmanager
def copied_index(git_dir: Path) -> Iterator[Path]:
    """A copy that may be locked and written; a repository without an index has none here either.

    ``git diff`` takes the lock and writes the index when files were only touched, whatever GIT_OPTIONAL_LOCKS says:
    a commit in a terminal would fail meanwhile, and for good if this git were killed before it gave the lock back.
    """
    with TemporaryDirectory(prefix="pocketcoder-git-") as directory:
        copy = Path(directory, "index")
        with suppress(FileNotFoundError):
            _copy(git_dir / "index", copy)
        yield copy


def _copy(index: Path, copy: Path) -> None:
    with open(os.open(index, _READ), "rb") as source:
        status = os.fstat(source.fileno())
        if S_ISREG(status.st_mode):
            with open(copy, "wb") as target:
                shutil.copyfileobj(source, target)
            # A file that is as old as the index, or younger, is compared whatever its times say.
            os.utime(copy, ns=(status.st_atime_ns, status.st_mtime_ns))
