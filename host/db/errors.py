"""What can go wrong with the database, in words for people.

DatabaseError
├── DatabaseClosed         the daemon is stopping
├── DatabaseDamaged        the file is not (any more) a sound database of ours
├── DatabaseFull           no space left
├── DatabaseLocked         another program holds it
├── DatabaseNewer          written by a later version of this program
└── DatabaseNotAccessible  permissions, a missing directory, a failing disk
"""

import contextlib
import sqlite3
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Final

from host.core.errors import ForPeople


class DatabaseError(ForPeople):
    """``message`` is a full sentence that may be shown as it is."""

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message


class DatabaseClosed(DatabaseError):
    def __init__(self) -> None:
        super().__init__("The database is closed, because the daemon is stopping. Try again when it runs.")


class DatabaseDamaged(DatabaseError):
    def __init__(self, path: Path) -> None:
        super().__init__(f"The database {path} is damaged. Restart the daemon: it sets the file aside and begins anew.")


class DatabaseFull(DatabaseError):
    def __init__(self, path: Path) -> None:
        super().__init__(f"The database {path} cannot grow: the disk is full. Free some space and try again.")


class DatabaseLocked(DatabaseError):
    def __init__(self, path: Path) -> None:
        super().__init__(f"The database {path} is in use by another program. Close that program and try again.")


class DatabaseNewer(DatabaseError):
    def __init__(self, path: Path, found: int, known: int) -> None:
        super().__init__(
            f"The database {path} has version {found}, but this program knows only up to {known}. Upgrade pocketcoder."
        )


class DatabaseNotAccessible(DatabaseError):
    def __init__(self, path: Path) -> None:
        super().__init__(
            f"The database {path} cannot be opened, read or written. "
            "Check the permissions of its directory, and the disk."
        )


_BY_PRIMARY_CODE: Final[Mapping[int, Callable[[Path], DatabaseError]]] = {
    sqlite3.SQLITE_CORRUPT: DatabaseDamaged,
    sqlite3.SQLITE_NOTADB: DatabaseDamaged,
    sqlite3.SQLITE_FULL: DatabaseFull,
    sqlite3.SQLITE_BUSY: DatabaseLocked,
    sqlite3.SQLITE_LOCKED: DatabaseLocked,
    sqlite3.SQLITE_CANTOPEN: DatabaseNotAccessible,
    sqlite3.SQLITE_IOERR: DatabaseNotAccessible,
    sqlite3.SQLITE_PERM: DatabaseNotAccessible,
    sqlite3.SQLITE_READONLY: DatabaseNotAccessible,
}


def explain(error: BaseException, path: Path) -> BaseException:
    """The error to raise for ``error``: SQLite's own troubles as a DatabaseError, caused by it; others unchanged.

    Constraint and syntax errors stay as they are: they are faults of our own code.
    """
    # Absent on what Python's binding raises by itself; the low byte is the primary code.
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    make = _BY_PRIMARY_CODE.get(code)
    if make is None:
        return error
    explained = make(path)
    explained.__cause__ = error
    return explained


@contextlib.contextmanager
def explained(path: Path) -> Iterator[None]:
    """What goes wrong with the file inside is raised as a DatabaseError."""
    try:
        yield
    except sqlite3.Error as exc:
        raise explain(exc, path) from exc
    except OSError as exc:
        raise DatabaseNotAccessible(path) from exc
