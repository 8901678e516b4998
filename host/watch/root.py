"""A project's root as it is found by its path, each time anew: nothing is held open that could keep a disk busy."""

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final, NamedTuple

from host.paths.door import Door
from host.paths.ignore_reading import rules_in
from host.paths.relative import ROOT
from host.protocol.errors import ProtocolError
from host.watch import problems
from host.watch.rules import SharedRules

_OPEN: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_GONE: Final = frozenset({errno.ENOENT, errno.ENOTDIR, errno.ELOOP})


class RootUnusable(Exception):
    """``problem`` says to a person why there is nothing to watch."""

    def __init__(self, problem: str, *, is_gone: bool) -> None:
        super().__init__(problem)
        self.problem = problem
        self.is_gone = is_gone


class OpenRoot(NamedTuple):
    """``identity`` tells this directory from another at the same path."""

    descriptor: int
    identity: tuple[int, int]


@contextmanager
def opened_root(path: Path) -> Iterator[OpenRoot]:
    """Raises RootUnusable."""
    try:
        descriptor = os.open(path, _OPEN)
    except OSError as exc:
        is_gone = exc.errno in _GONE
        problem = problems.root_gone(path) if is_gone else problems.root_refused(path, exc)
        raise RootUnusable(problem, is_gone=is_gone) from exc
    try:
        status = os.fstat(descriptor)
        yield OpenRoot(descriptor, (status.st_dev, status.st_ino))
    finally:
        os.close(descriptor)


def root_rules(path: Path, everywhere: str = "") -> SharedRules:
    """What the root's .gitignore, its repository's info/exclude and ``everywhere`` say; none if they can't be read."""
    try:
        with Door(path) as door:
            return SharedRules(rules_in(door, ROOT, everywhere).sources)
    except ProtocolError:
        return SharedRules(())
