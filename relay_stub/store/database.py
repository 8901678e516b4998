"""The relay's one SQLite file: how it is opened, brought up to date and closed.

Reads are point queries of microseconds, and writes are rare: all run on the event loop itself, on one connection.
"""

import os
import sqlite3
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from importlib.resources import files
from pathlib import Path
from typing import Any

from relay_stub.store.data_directory import (
    DirectoryInUse,
    StoreError,
    lock_directory,
    make_private_directory,
    open_private_file,
)

BUSY_TIMEOUT_S = 5.0
# One script a schema version, in order; PRAGMA user_version counts those that have run.
MIGRATIONS = ("schema.sql",)
_CORRUPT = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)


class Database:
    """One open store. A statement outside of ``transaction`` commits, durably, by itself."""

    def __init__(self, connection: sqlite3.Connection, resources: ExitStack) -> None:
        self._connection = connection
        self._resources = resources

    @classmethod
    def open(cls, data_dir: Path) -> "Database":
        """Open ``relay.db`` in the directory, made if need be, and hold the directory's lock until ``close``.

        The database and its companions have mode 0600. Raises StoreError: the directory can't be
        written, another relay uses it, the file is damaged, or a newer relay wrote it.
        """
        with ExitStack() as resources:
            try:
                make_private_directory(data_dir)
                resources.callback(os.close, lock_directory(data_dir))
                _make_files_private(data_dir / "relay.db")
            except OSError as exc:
                raise StoreError(
                    f"The relay cannot write to its data directory {data_dir}. "
                    "Give the relay's user that directory, or choose another."
                ) from exc
            connection = _connect(data_dir / "relay.db", resources, upgrade=_migrate)
            return cls(connection, resources.pop_all())

    @classmethod
    def open_beside(cls, data_dir: Path) -> "Database":
        """Open ``relay.db`` whether or not a relay is running on it, which then sees what is changed.

        Raises StoreError: it is not there, or what ``open`` raises it for.
        """
        if not data_dir.is_dir():
            raise StoreError(f"There is no data directory {data_dir}. Name the relay's with --data-dir.")
        if not (data_dir / "relay.db").exists():
            # An empty one would answer, in the wrong directory, that nobody is signed in.
            raise StoreError(f"The directory {data_dir} holds no data of a relay. Name the relay's with --data-dir.")
        with suppress(DirectoryInUse):
            # Brings the schema up to date; lets go of the lock, so that a relay may start meanwhile.
            cls.open(data_dir).close()
        with ExitStack() as resources:
            connection = _connect(data_dir / "relay.db", resources, upgrade=_refuse_older)
            return cls(connection, resources.pop_all())

    def changes_of_others(self) -> int:
        """A number that differs after another connection has changed something."""
        (version,) = self._connection.execute("PRAGMA data_version").fetchone()
        return int(version)

    def execute(self, sql: str, parameters: Iterable[Any] = ()) -> sqlite3.Cursor:
        return self._connection.execute(sql, tuple(parameters))

    def execute_many(self, sql: str, rows: Iterable[Iterable[Any]]) -> None:
        self._connection.executemany(sql, (tuple(row) for row in rows))

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Everything inside is kept, or nothing of it."""
        with self._connection:
            self._connection.execute("BEGIN IMMEDIATE")
            yield

    def close(self) -> None:
        self._resources.close()


def _make_files_private(path: Path) -> None:
    # SQLite gives -wal and -shm the mode of the database; those of an unclean end may be older than ours.
    os.close(open_private_file(path))
    for companion in (path.with_name(f"{path.name}-wal"), path.with_name(f"{path.name}-shm")):
        if companion.exists():
            companion.chmod(0o600)


def _connect(
    path: Path, resources: ExitStack, *, upgrade: Callable[[sqlite3.Connection, Path, int], None]
) -> sqlite3.Connection:
    try:
        connection = sqlite3.connect(path, timeout=BUSY_TIMEOUT_S, isolation_level=None)
        resources.callback(connection.close)
        _refuse_damaged(connection, path)
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute("PRAGMA foreign_keys = ON")
        upgrade(connection, path, _known_version(connection, path))
    except sqlite3.Error as exc:
        if getattr(exc, "sqlite_errorcode", 0) & 0xFF in _CORRUPT:
            raise _damaged(path) from exc
        raise StoreError(
            f"The relay cannot open its database {path}. Check the disk's free space and the file's rights."
        ) from exc
    return connection


def _refuse_damaged(connection: sqlite3.Connection, path: Path) -> None:
    (verdict,) = connection.execute("PRAGMA quick_check(1)").fetchone()
    if verdict != "ok":
        raise _damaged(path)


def _damaged(path: Path) -> StoreError:
    return StoreError(
        f"The relay's database {path} is damaged. Move it away (with {path.name}-wal and {path.name}-shm) "
        "and start again: everyone then has to sign in anew."
    )


def _known_version(connection: sqlite3.Connection, path: Path) -> int:
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    if version > len(MIGRATIONS):
        raise StoreError(
            f"The relay's database {path} was written by a newer relay "
            f"(schema {version}, this one knows {len(MIGRATIONS)}). Upgrade this relay, or choose another directory."
        )
    return int(version)


def _migrate(connection: sqlite3.Connection, _: Path, version: int) -> None:
    for number, script in enumerate(MIGRATIONS[version:], start=version + 1):
        sql = files("relay_stub.store").joinpath(script).read_text(encoding="utf-8")
        connection.executescript(f"BEGIN IMMEDIATE;\n{sql}\nPRAGMA user_version = {number};\nCOMMIT;")


def _refuse_older(_: sqlite3.Connection, path: Path, version: int) -> None:
    if version < len(MIGRATIONS):
        raise StoreError(f"An older relay, or one that just starts, is running on {path}. Restart it, then try again.")
