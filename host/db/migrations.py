"""The schema grows by numbered scripts; ``PRAGMA user_version`` says how far a file has come."""

import glob
import os
import sqlite3
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from functools import cache
from importlib import resources
from pathlib import Path


@dataclass(frozen=True)
class Migration:
    """``sql`` brings a database from version ``version`` - 1 to ``version``; it begins and commits nothing itself."""

    version: int
    sql: str


@cache
def shipped_migrations() -> tuple[Migration, ...]:
    """The scripts of ``schema/``, in order. Raises RuntimeError if their numbers aren't 1, 2, 3 …"""
    scripts = [
        entry for entry in resources.files("host.db").joinpath("schema").iterdir() if entry.name.endswith(".sql")
    ]
    migrations = tuple(
        sorted(
            (Migration(int(entry.name.split("_")[0]), entry.read_text("utf-8")) for entry in scripts),
            key=lambda migration: migration.version,
        )
    )
    if [migration.version for migration in migrations] != list(range(1, len(migrations) + 1)) or not migrations:
        raise RuntimeError("The schema scripts are not numbered 1, 2, 3 … without a gap.")
    return migrations


def schema_version(connection: sqlite3.Connection) -> int:
    version: int = connection.execute("PRAGMA user_version").fetchone()[0]
    return version


def migrate(connection: sqlite3.Connection, path: Path, migrations: Sequence[Migration]) -> None:
    """Bring the database to the last version, whole or not at all.

    A file that is not new is first copied to ``<name>.before-<last version>``, readable by its owner alone; of such
    copies one is kept.
    """
    version = schema_version(connection)
    pending = migrations[version:]
    if not pending:
        return
    if version > 0:
        _back_up(connection, path, f"{path.name}.before-{pending[-1].version}")
    _apply(connection, pending)


def _back_up(connection: sqlite3.Connection, path: Path, name: str) -> None:
    # Until it is whole it has another name, and the copy of the migration before is still there.
    unfinished = path.with_name(f"{path.name}.copying")
    unfinished.unlink(missing_ok=True)
    os.close(os.open(unfinished, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600))
    with closing(sqlite3.connect(unfinished)) as copy:
        connection.backup(copy)
    backup = unfinished.replace(path.with_name(name))
    for older in set(path.parent.glob(f"{glob.escape(path.name)}.before-*")) - {backup}:
        older.unlink()


def _apply(connection: sqlite3.Connection, migrations: Sequence[Migration]) -> None:
    steps = "\n".join(migration.sql for migration in migrations)
    try:
        # executescript() commits whatever is open, so the transaction is part of the script.
        connection.executescript(f"BEGIN IMMEDIATE;\n{steps}\nPRAGMA user_version = {migrations[-1].version};\nCOMMIT;")
    except sqlite3.Error:
        connection.rollback()
        raise
