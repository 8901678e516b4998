"""Reading the texts that the ignore rules are made of. Nothing found here can fail who asks."""

import os
from functools import partial
from stat import S_ISREG
from typing import Final

from host.paths.door import Door
from host.paths.ignore import IgnoreRules
from host.paths.relative import ROOT, RelativePath
from host.protocol.errors import ProtocolError
from host.protocol.limits import MIB

# Larger ones are taken for absent.
MAX_IGNORE_FILE_BYTES: Final = MIB

_EXCLUDE: Final = RelativePath(".git/info/exclude", (b".git", b"info", b"exclude"))
_READ: Final = os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_NOFOLLOW | os.O_CLOEXEC


def rules_in(door: Door, path: RelativePath, everywhere: str = "") -> IgnoreRules:
    """The rules for the entries of the directory ``path``, from all the files above it and its own.

    ``everywhere``: see ``IgnoreRules.of_root``.
    """
    rules = IgnoreRules.of_root(gitignore=_gitignore_at(door, ROOT), exclude=_exclude(door), everywhere=everywhere)
    here = ROOT
    for part in path.parts:
        here = here.child(part)
        rules = rules.entered(os.fsdecode(part), partial(_gitignore_at, door, here))
    return rules


def gitignore_in(directory: int) -> str | None:
    """The text of an open directory's .gitignore; None if there is none that can be read. Links aren't followed."""
    try:
        # Looked at first, so that a FIFO or a device of that name is never opened.
        if not S_ISREG(os.stat(".gitignore", dir_fd=directory, follow_symlinks=False).st_mode):
            return None
        descriptor = os.open(".gitignore", _READ, dir_fd=directory)
    except OSError:
        return None
    try:
        return _text(descriptor)
    finally:
        os.close(descriptor)


def _gitignore_at(door: Door, path: RelativePath) -> str | None:
    try:
        with door.directory(path) as directory:
            return gitignore_in(directory)
    except ProtocolError:
        return None


def _exclude(door: Door) -> str | None:
    try:
        with door.file(_EXCLUDE) as file:
            return _text(file.descriptor)
    except ProtocolError:
        return None


def _text(descriptor: int) -> str | None:
    try:
        if not S_ISREG(os.fstat(descriptor).st_mode):
            return None
        raw = os.pread(descriptor, MAX_IGNORE_FILE_BYTES + 1, 0)
    except OSError:
        return None
    return raw.decode(errors="surrogateescape") if len(raw) <= MAX_IGNORE_FILE_BYTES else None
