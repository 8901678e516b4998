"""The schema grows by numbered scripts, each whole or not at all."""

import sqlite3
from pathlib import Path

import pytest

from host.db.database import Database
from host.db.migrations import Migration, schema_version, shipped_migrations

START = shipped_migrations()[0]
SECOND = Migration(2, "ALTER TABLE meta ADD COLUMN note TEXT;")
THIRD = Migration(3, "CREATE TABLE notes (note TEXT); INSERT INTO notes SELECT note FROM meta;")
BROKEN = Migration(3, "CREATE TABLE half (a); INSERT INTO nowhere VALUES (1);")


def tables(connection: sqlite3.Connection) -> set[str]:
    return {name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}


def put_key(connection: sqlite3.Connection) -> None:
    connection.execute("INSERT INTO meta (key, value) VALUES ('a', '1')")


async def test_the_shipped_scripts_make_the_tables_of_the_contract(tmp_path: Path) -> None:
    database = await Database.open(tmp_path / "daemon.db")
    assert {"meta", "projects", "fs_state", "requests"} <= await database.read(tables)
    assert await database.read(schema_version) == len(shipped_migrations())
    await database.close()


async def make_old(path: Path) -> None:
    """A database of the first version with something in it."""
    old = await Database.open(path, migrations=(START,))
    await old.write(put_key)
    await old.close()


def copies(directory: Path) -> list[str]:
    return sorted(entry.name for entry in directory.glob("daemon.db.*"))


async def test_a_new_file_needs_no_copy(tmp_path: Path) -> None:
    database = await Database.open(tmp_path / "daemon.db", migrations=(START, SECOND))
    await database.close()
    assert copies(tmp_path) == []


async def test_an_older_file_is_copied_privately_and_then_brought_up_to_date(tmp_path: Path) -> None:
    path = tmp_path / "daemon.db"
    await make_old(path)
    (tmp_path / "daemon.db.copying").write_bytes(b"what a copy that was cut short left behind")

    new = await Database.open(path, migrations=(START, SECOND))
    assert await new.read(schema_version) == 2
    row = await new.read(lambda connection: connection.execute("SELECT key, note FROM meta").fetchone())
    assert row == ("a", None)
    await new.close()

    backup = tmp_path / "daemon.db.before-2"
    assert copies(tmp_path) == [backup.name]
    assert backup.stat().st_mode & 0o777 == 0o600
    copy = sqlite3.connect(backup)
    assert schema_version(copy) == 1
    assert copy.execute("SELECT key FROM meta").fetchone() == ("a",)
    copy.close()


async def test_of_the_copies_only_that_of_the_last_migration_is_kept(tmp_path: Path) -> None:
    path = tmp_path / "daemon.db"
    await make_old(path)
    for migrations in ((START, SECOND), (START, SECOND, THIRD), (START, SECOND, THIRD)):
        database = await Database.open(path, migrations=migrations)
        await database.close()
    assert copies(tmp_path) == ["daemon.db.before-3"]


async def test_a_copy_that_is_put_back_is_the_database_as_it_was(tmp_path: Path) -> None:
    path = tmp_path / "daemon.db"
    await make_old(path)
    await (await Database.open(path, migrations=(START, SECOND, THIRD))).close()
    # As docs/troubleshooting.md says.
    path.rename(tmp_path / "daemon.db.new")
    (tmp_path / "daemon.db.before-3").rename(path)

    database = await Database.open(path, migrations=(START,))
    assert database.warnings == ()
    assert await database.read(lambda connection: connection.execute("SELECT key FROM meta").fetchone()) == ("a",)
    await database.close()


async def test_migrations_of_which_the_last_one_fails_leave_the_file_as_it_was(tmp_path: Path) -> None:
    path = tmp_path / "daemon.db"
    await make_old(path)
    with pytest.raises(sqlite3.OperationalError):
        await Database.open(path, migrations=(START, SECOND, BROKEN))

    # A PocketCoder that knows nothing of them can go on with it.
    database = await Database.open(path, migrations=(START,))
    assert database.warnings == ()
    assert await database.read(schema_version) == 1
    assert "half" not in await database.read(tables)
    assert await database.read(lambda connection: connection.execute("SELECT * FROM meta").fetchone()) == ("a", "1")
    await database.close()
