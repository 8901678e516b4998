"""Following a path component by component, so that no rename can lead it out of the root.

Each directory is opened from the one before without following links, and ``..`` in a
link's target goes back to a directory that is already open. Works on every POSIX system.
"""

import errno
import os
from collections import deque
from contextlib import suppress
from types import TracebackType
from typing import Final, Self

from host.paths.durable import sync_directory
from host.paths.relative import RelativePath, leaves_root, unescaped_name

# What Linux allows in one look-up.
MAX_LINKS: Final = 40
# Each level holds a descriptor.
MAX_DEPTH: Final = 256
# In bytes, on every file system of note.
_MAX_NAME_BYTES: Final = 255

_NEW_DIRECTORY_MODE: Final = 0o777
_ENTER: Final = getattr(os, "O_PATH", os.O_RDONLY) | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC

# A name, and what it may stand for if it doesn't exist.
_Step = tuple[bytes, bytes | None]


class Walk:
    """One path's way below ``root``, an open directory that stays the caller's.

    ``go`` raises OutsideProjectRoot where a link leads out, OSError where the way ends.
    Leaving the context closes every directory that was entered. The last component is
    followed too if it is a link, unless ``follows_last`` is false.
    """

    def __init__(self, root: int, path: RelativePath, *, follows_last: bool = True) -> None:
        self._root = root
        self._path = path
        self._follows_last = follows_last
        self._entered: list[tuple[bytes, int]] = []
        self._ahead: deque[_Step] = deque((part, unescaped_name(part)) for part in path.parts)
        self._links = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        while self._entered:
            self._leave()

    @property
    def directory(self) -> int:
        """The innermost directory entered; valid until the context is left."""
        return self._entered[-1][1] if self._entered else self._root

    @property
    def name(self) -> bytes:
        """What is looked for in ``directory``: a name that was no link, or ``.`` for itself."""
        return self._ahead[0][0] if self._ahead else b"."

    @property
    def parts(self) -> tuple[bytes, ...]:
        """The whole way with links resolved, as far as it exists, and what is still ahead."""
        return (*(name for name, _ in self._entered), *(name for name, _ in self._ahead))

    @property
    def directories(self) -> tuple[int, ...]:
        """Every directory on the way, the root first."""
        return (self._root, *(descriptor for _, descriptor in self._entered))

    @property
    def is_short(self) -> bool:
        """Whether directories on the way to ``name`` are missing."""
        return len(self._ahead) > 1

    def go(self) -> None:
        """Enter every directory on the way, following links, until only ``name`` is ahead."""
        while self._ahead:
            name = self._chosen(self._ahead[0])
            if name in {b".", b""}:
                self._ahead.popleft()
            elif name == b"..":
                self._go_back()
            elif len(self._ahead) > 1:
                self._enter_or_expand(name)
            elif not (self._follows_last and self._expand(name)):
                self._ahead[0] = (name, None)
                return

    def make_missing(self, umask: int, *, with_last: bool = False) -> None:
        """Make the directories that ``go`` missed, and enter them; ``name`` itself only ``with_last``.

        What can't be made for its names or its depth is refused before anything is made.
        """
        names = [name for name, _ in self._ahead]
        if any(name in {b"", b".", b".."} for name in names):
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT))
        missing = names if with_last else names[:-1]
        if len(self._entered) + len(missing) > MAX_DEPTH or any(len(name) > _MAX_NAME_BYTES for name in names):
            raise OSError(errno.ENAMETOOLONG, os.strerror(errno.ENAMETOOLONG))
        for name in missing:
            with suppress(FileExistsError):
                self._make(name, umask)
            self._enter(name)

    def _chosen(self, step: _Step) -> bytes:
        """The literal name, unless only the one that it may stand for exists."""
        name, meant = step
        if meant is None or self._exists(name) or not self._exists(meant):
            return name
        return meant

    def _exists(self, name: bytes) -> bool:
        try:
            os.stat(name, dir_fd=self.directory, follow_symlinks=False)
        except OSError:
            return False
        return True

    def _enter_or_expand(self, name: bytes) -> None:
        try:
            self._enter(name)
        except OSError as exc:
            # A link that must not be followed is ENOTDIR on Linux, ELOOP elsewhere.
            if exc.errno not in {errno.ENOTDIR, errno.ELOOP, errno.EMLINK} or not self._expand(name):
                raise

    def _enter(self, name: bytes) -> None:
        if len(self._entered) >= MAX_DEPTH:
            raise OSError(errno.ENAMETOOLONG, os.strerror(errno.ENAMETOOLONG))
        self._entered.append((name, os.open(name, _ENTER, dir_fd=self.directory)))
        self._ahead.popleft()

    def _make(self, name: bytes, umask: int) -> None:
        mode = _NEW_DIRECTORY_MODE & ~umask
        os.mkdir(name, mode, dir_fd=self.directory)
        sync_directory(self.directory)
        made = os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=self.directory)
        try:
            # Adds what the process's own umask took; a set-group-ID bit that was inherited stays.
            os.fchmod(made, os.fstat(made).st_mode & 0o7777 | mode)
        finally:
            os.close(made)

    def _go_back(self) -> None:
        self._ahead.popleft()
        if not self._entered:
            raise leaves_root(self._path.text)
        self._leave()

    def _leave(self) -> None:
        os.close(self._entered.pop()[1])

    def _expand(self, name: bytes) -> bool:
        """Replace a link by its target's components; False if ``name`` is no link."""
        try:
            target = os.readlink(name, dir_fd=self.directory)
        except OSError as exc:
            if exc.errno in {errno.EINVAL, errno.ENOENT}:
                return False
            raise
        self._links += 1
        if self._links > MAX_LINKS:
            raise OSError(errno.ELOOP, os.strerror(errno.ELOOP))
        if target.startswith(b"/"):
            raise leaves_root(self._path.text)
        if target.endswith(b"/"):
            target += b"."
        self._ahead.popleft()
        self._ahead.extendleft((part, None) for part in reversed(target.split(b"/")))
        return True


def open_by_walk(root: int, path: RelativePath, flags: int) -> int:
    """Open ``path`` below the directory ``root``; the caller closes. See ``OpenBeneath``."""
    with Walk(root, path) as walk:
        walk.go()
        return os.open(walk.name, flags | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=walk.directory)
