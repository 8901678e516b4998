"""The one door through which every path of every feature reaches a project's files.

Whatever is renamed meanwhile, nothing outside the project's root is opened: what is
handed out are open descriptors, never path names to look up again.
"""

import errno
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from stat import S_ISDIR, S_ISREG
from types import TracebackType
from typing import Final, Self

from host.paths.failures import failure, named, telling
from host.paths.git_names import refuse_under_git
from host.paths.openat2 import is_supported, open_by_openat2
from host.paths.relative import RelativePath, shown
from host.paths.walk import Walk, open_by_walk
from host.protocol.errors import FileNotFound, InvalidRequest, ProjectRootGone

# (root directory, path, flags of os.open) → descriptor. Follows links that stay beneath the root.
# Raises OutsideProjectRoot for those that don't, whether or not their target exists; else OSError.
OpenBeneath = Callable[[int, RelativePath, int], int]

_LOOK: Final = getattr(os, "O_PATH", os.O_RDONLY | os.O_NONBLOCK) | os.O_CLOEXEC
_ROOT: Final = _LOOK | os.O_DIRECTORY | os.O_NOFOLLOW
_READ: Final = os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
_GONE: Final = frozenset({errno.ENOENT, errno.ENOTDIR, errno.ELOOP})


@cache
def best_open_beneath() -> OpenBeneath:
    """The fastest way this machine offers; all of them keep the same promises."""
    return open_by_openat2 if is_supported() else open_by_walk


@dataclass(frozen=True, slots=True)
class OpenFile:
    """A regular file, open for reading, and its stat at opening."""

    descriptor: int
    status: os.stat_result


class Place:
    """Where a path is to be changed: an entry ``name`` of the open directory ``parent``."""

    def __init__(self, walk: Walk, path: RelativePath) -> None:
        self._walk = walk
        self.path = path

    @property
    def parent(self) -> int:
        return self._walk.directory

    @property
    def name(self) -> bytes:
        return self._walk.name

    @property
    def lacks_parents(self) -> bool:
        return self._walk.is_short

    @property
    def directories(self) -> tuple[int, ...]:
        """Every directory on the way to ``name``, the root first and ``parent`` last."""
        return self._walk.directories

    def make_parents(self, umask: int) -> None:
        """Make the missing directories durably, with mode 0777 less ``umask``."""
        self._walk.make_missing(umask)

    def make_directory(self, umask: int) -> None:
        """The same, and ``name`` becomes a directory too; one that is there by now will do."""
        self._walk.make_missing(umask, with_last=True)

    def status(self) -> os.stat_result | None:
        """The lstat of what is there now; None if nothing is."""
        if self.lacks_parents:
            return None
        try:
            return os.stat(self.name, dir_fd=self.parent, follow_symlinks=False)
        except FileNotFoundError:
            return None


class Door:
    """A project's root, open as long as the context. ``root`` is absolute.

    Entering raises ProjectRootGone if the root is no directory any more, or became a link.
    """

    def __init__(self, root: Path, open_beneath: OpenBeneath | None = None) -> None:
        self._path = root
        self._open_beneath = open_beneath or best_open_beneath()
        self._root = -1

    def __enter__(self) -> Self:
        with telling(shown(str(self._path))):
            try:
                self._root = os.open(self._path, _ROOT)
            except OSError as exc:
                if exc.errno not in _GONE:
                    raise
                raise ProjectRootGone(
                    f"The project's directory {shown(str(self._path))} is not there any more. "
                    "Put it back, or remove the project on its machine with: pocketcoder remove",
                ) from exc
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        os.close(self._root)

    @contextmanager
    def file(self, path: RelativePath) -> Iterator[OpenFile]:
        """A regular file for reading. Anything else is not even opened: InvalidRequest."""
        with telling(path.text):
            with self._opened(path, _LOOK) as looked:
                refuse_irregular(os.fstat(looked), path.text)
            with self._opened(path, _READ) as descriptor:
                status = os.fstat(descriptor)
                refuse_irregular(status, path.text)
                yield OpenFile(descriptor, status)

    @contextmanager
    def directory(self, path: RelativePath) -> Iterator[int]:
        """A directory for reading; InvalidRequest if it is none."""
        with telling(path.text):
            with self._opened(path, _LOOK) as looked:
                if not S_ISDIR(os.fstat(looked).st_mode):
                    raise InvalidRequest.of_field("path", f"{named(path.text)} is not a directory.")
            with self._opened(path, _READ | os.O_DIRECTORY) as descriptor:
                yield descriptor

    def open_below(self, directory: int, path: RelativePath) -> int:
        """Open the directory ``path`` below one that is open already; the caller closes. Raises as OpenBeneath."""
        return self._open_beneath(directory, path, _READ | os.O_DIRECTORY)

    @contextmanager
    def place(self, path: RelativePath) -> Iterator[Place]:
        """Where to write ``path``, never a link: links within the root are resolved, also the last one.

        Raises OutsideProjectRoot, then InvalidRequest for what lies in ``.git`` by its own
        name or through links, then FileNotFound where a parent is no directory.
        """
        with telling(path.text), Walk(self._root, path) as walk:
            error = _end_of(walk)
            refuse_under_git((*path.parts, *walk.parts))
            if error is not None:
                raise error
            yield Place(walk, path)

    @contextmanager
    def entries(self, paths: Mapping[str, RelativePath]) -> Iterator[tuple[Place, ...]]:
        """The entries that the paths name, themselves: links are followed on the way to them only.

        Keys are the members of the request that the paths came in. Raises as ``place``; what
        counts most is raised first, whichever path it is about.
        """
        with ExitStack() as stack:
            walks = [stack.enter_context(Walk(self._root, path, follows_last=False)) for path in paths.values()]
            errors = [_end_of(walk) for walk in walks]
            for (field, path), walk in zip(paths.items(), walks, strict=True):
                refuse_under_git((*path.parts, *walk.parts), field)
            for (field, path), error in zip(paths.items(), errors, strict=True):
                if error is not None:
                    raise failure(error, path.text, field) from error
            yield tuple(Place(walk, path) for path, walk in zip(paths.values(), walks, strict=True))

    @contextmanager
    def _opened(self, path: RelativePath, flags: int) -> Iterator[int]:
        descriptor = self._open_beneath(self._root, path, flags)
        try:
            yield descriptor
        finally:
            os.close(descriptor)


def _end_of(walk: Walk) -> OSError | None:
    """Go, and return what ended the way, to be raised after what counts more."""
    try:
        walk.go()
    except FileNotFoundError:
        return None  # Directories are missing; they may be made.
    except OSError as exc:
        return exc
    return None


def refuse_irregular(status: os.stat_result, path: str) -> None:
    """Raises InvalidRequest for what is not a regular file."""
    if S_ISDIR(status.st_mode):
        raise InvalidRequest.of_field("path", f"{named(path)} is a directory, not a file.")
    if not S_ISREG(status.st_mode):
        raise InvalidRequest.of_field("path", f"{named(path)} is not a regular file, and only those are opened.")


def missing_parent(path: RelativePath) -> FileNotFound:
    return FileNotFound(f"The directory of {path.text} does not exist. Create it first.", path=path.text)
