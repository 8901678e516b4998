"""Removing a directory with all that it holds, whatever is renamed meanwhile.

Each directory is opened from the one above it without following links, and what is
removed is a name in an open directory: the way leads down only, never out.
"""

import errno
import os
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from host.paths.failures import NOT_EMPTY, failure, refusal
from host.paths.relative import RelativePath
from host.protocol.errors import Conflict, DeletedInPart, ProtocolError

# The deepest directories, which are kept open; those above are found again by their names.
_MAX_OPEN: Final = 64
# Subdirectories of one directory that are remembered before it is looked through again.
_MAX_REMEMBERED: Final = 256
# How often something may appear, vanish or become something else before we give up.
_MAX_DISTURBANCES: Final = 100

_CHANGED: Final = frozenset({errno.ENOENT, errno.ENOTDIR, errno.EISDIR, errno.ELOOP, errno.EMLINK})
_ENTER: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_STOP_CHANGING: Final = "Something on the machine keeps changing it. Stop that, then try again."


def remove_tree(parent: int, name: bytes, path: RelativePath, *, is_cancelled: Callable[[], bool]) -> None:
    """Remove the directory ``name`` of the open directory ``parent``; ``path`` is what the peer calls it.

    However deep it goes, few directories are open at once; memory is bounded for any
    number of files. Other file systems mounted inside are not entered. It ends at the first
    entry that can't be removed: with DeletedInPart if anything was, else with what
    ``failure`` makes of it, or Conflict where others keep changing the directory. When
    ``is_cancelled`` says so it ends as well, as if the file system had refused.
    """
    removal = _Removal(parent, name, is_cancelled)
    try:
        removal.run()
    except OSError as exc:
        raise _told(exc, path, removal) from exc
    finally:
        removal.close()


@dataclass
class _Level:
    """A directory on the way down. ``below``: subdirectories that are not empty."""

    name: bytes
    descriptor: int | None
    below: list[bytes] = field(default_factory=list)
    is_looked_through: bool = False


class _Removal:
    def __init__(self, parent: int, name: bytes, is_cancelled: Callable[[], bool]) -> None:
        self._parent = parent
        self._is_cancelled = is_cancelled
        self._top = name
        self._levels: list[_Level] = []
        self._disturbances = 0
        self._at = (name, 0)
        self.removed = 0

    def run(self) -> None:
        self._enter(self._top)
        while self._levels:
            try:
                self._step(self._levels[-1])
            except OSError as exc:
                if exc.errno not in _CHANGED:
                    raise
                self._start_over(exc)

    @property
    def at(self) -> list[bytes]:
        """The way from the top to what was last to be removed or entered."""
        name, above = self._at
        return [*(level.name for level in self._levels[: len(self._levels) - above]), name][1:]

    def close(self) -> None:
        for level in self._levels:
            self._close(level)

    def _step(self, level: _Level) -> None:
        if level.below:
            self._enter(level.below.pop())
        elif not level.is_looked_through:
            self._look_through(level)
        elif self._remove(self._opened(len(self._levels) - 2), level.name, above=1, is_directory=True):
            self._close(self._levels.pop())
        else:
            self._disturbed(OSError(errno.ENOTEMPTY, os.strerror(errno.ENOTEMPTY)))
            level.is_looked_through = False

    def _look_through(self, level: _Level) -> None:
        """Remove what can be at once, and note what must be emptied first."""
        directory = self._opened(len(self._levels) - 1)
        with os.scandir(directory) as entries:
            for entry in entries:
                name = os.fsencode(entry.name)
                if not self._remove(directory, name, is_directory=entry.is_dir(follow_symlinks=False)):
                    level.below.append(name)
                if len(level.below) == _MAX_REMEMBERED:
                    return
        level.is_looked_through = True

    def _remove(self, directory: int, name: bytes, *, is_directory: bool, above: int = 0) -> bool:
        """False for a directory that is not empty. ``above``: how many levels over the last one ``directory`` is."""
        self._at = (name, above)
        if self._is_cancelled():
            raise OSError(errno.ECANCELED, os.strerror(errno.ECANCELED))
        try:
            # Of a directory that is mounted on, this is refused before anything in it is touched.
            (os.rmdir if is_directory else os.unlink)(name, dir_fd=directory)
        except FileNotFoundError:
            return True
        except OSError as exc:
            if exc.errno in NOT_EMPTY:
                return False
            raise
        self.removed += 1
        return True

    def _enter(self, name: bytes) -> None:
        last = len(self._levels) - 1
        self._at = (name, 0)
        self._levels.append(_Level(name, os.open(name, _ENTER, dir_fd=self._opened(last))))
        self._close_above(last + 1)

    def _opened(self, index: int) -> int:
        """The descriptor of a level, opened again if it was closed; -1 is the caller's directory."""
        if index < 0:
            return self._parent
        nearest = index
        while (descriptor := self._levels[nearest].descriptor) is None:
            nearest -= 1
        while nearest < index:
            nearest += 1
            level = self._levels[nearest]
            descriptor = level.descriptor = os.open(level.name, _ENTER, dir_fd=descriptor)
            self._close_above(nearest)
        return descriptor

    def _close_above(self, index: int) -> None:
        # The top one stays open: it is where the way begins.
        if index - _MAX_OPEN > 0:
            self._close(self._levels[index - _MAX_OPEN])

    def _close(self, level: _Level) -> None:
        if level.descriptor is not None:
            os.close(level.descriptor)
            level.descriptor = None

    def _start_over(self, error: OSError) -> None:
        """From the top, which is open: what is removed by now stays so."""
        self._disturbed(error)
        while len(self._levels) > 1:
            self._close(self._levels.pop())
        self._levels[0].below.clear()
        self._levels[0].is_looked_through = False

    def _disturbed(self, error: OSError) -> None:
        self._disturbances += 1
        if self._disturbances > _MAX_DISTURBANCES:
            raise error


def _told(error: OSError, path: RelativePath, removal: _Removal) -> ProtocolError:
    is_changing = error.errno in NOT_EMPTY | _CHANGED
    if removal.removed:
        left = path
        for name in removal.at:
            left = left.child(name)
        reason, advice = ("changing", _STOP_CHANGING) if is_changing else refusal(error)
        message = f"{path.text} was deleted only in part, as {left.text} could not be deleted."
        return DeletedInPart(f"{message} {advice}", reason=reason, path=path.text, left=left.text)
    if is_changing:
        return Conflict(f"{path.text} could not be deleted. {_STOP_CHANGING}", path=path.text)
    return failure(error, path.text)
