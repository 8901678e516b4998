"""Opening directories of a project for looking at them."""

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import Final, Self

from host.paths.door import best_open_beneath
from host.paths.relative import RelativePath
from host.protocol.errors import OutsideProjectRoot
from host.protocol.limits import MAX_PATH_BYTES
from host.watch.directory import Directory

_OPEN: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC


class Opener:
    """Opens below ``root``, an open directory that stays the caller's. No link leads out of it.

    What lay around the last one stays open until the context is left: its neighbours are often next.
    """

    def __init__(self, root: int) -> None:
        self._root = root
        self._around: Directory | None = None
        self._descriptor = -1

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._forget()

    def open(self, directory: Directory) -> int:
        """Open for reading; the caller closes. Raises OSError."""
        if directory.parent is None:
            return os.open(".", _OPEN, dir_fd=self._root)
        if directory.path_bytes >= MAX_PATH_BYTES:
            # No request could name what is in it.
            raise OSError(errno.ENAMETOOLONG, os.strerror(errno.ENAMETOOLONG))
        if self._around is not directory.parent:
            self._remember(directory.parent, self._open(directory.parent))
        return os.open(directory.name, _OPEN, dir_fd=self._descriptor)

    def close(self, directory: Directory, descriptor: int, *, is_next_in_it: bool) -> None:
        """Close what ``open`` gave; ``is_next_in_it``: soon, as the next one to open lies in it."""
        if is_next_in_it:
            self._remember(directory, descriptor)
        else:
            os.close(descriptor)

    @contextmanager
    def opened(self, directory: Directory) -> Iterator[int]:
        descriptor = self.open(directory)
        try:
            yield descriptor
        finally:
            os.close(descriptor)

    def _remember(self, directory: Directory, descriptor: int) -> None:
        self._forget()
        self._around, self._descriptor = directory, descriptor

    def _forget(self) -> None:
        if self._around is not None:
            os.close(self._descriptor)
            self._around = None

    def _open(self, directory: Directory) -> int:
        path = RelativePath("", tuple(map(os.fsencode, directory.parts())))
        try:
            return best_open_beneath()(self._root, path, _OPEN)
        except OutsideProjectRoot as exc:
            raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR)) from exc
