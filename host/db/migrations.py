"""The schema grows by numbered scripts; ``PRAGMA user_version`` says how far a file has come."""

import os
import sqlite3
from collections.abc import Sequence
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
    """Bring the database to the last version, each step whole or not at all.

    A file that is not new is first copied to ``<name>.backup-v<its version>``, readable
    by its owner alone.
    """
    version = schema_version(connection)
    pending = migrations[version:]
    if pending and version > 0:
        _back_up(connection, path.with_name(f"{path.name}.backup-v{version}"))
    for migration in pending:
        _apply(connection, migration)


def _back_up(connection: sqlite3.Connection, target: Path) -> None:
    # What a copy that was cut short left behind.
    target.unlink(missing_ok=True)
    os.close(os.open(target, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600))
    copy = sqlite3.connect(target)
    try:
        connection.backup(copy)
    finally:
        copy.close()


def _apply(connection: sqlite3.Connection, migration: Migration) -> None:
    try:
        # executescript() commits whatever is open, so the transaction is part of the script.
        connection.executescript(
            f"BEGIN IMMEDIATE;\n{migration.sql}\nPRAGMA user_version = {migration.version};\nCOMMIT;"
        )
    except sqlite3.Error:
        connection.rollback()
        raise
