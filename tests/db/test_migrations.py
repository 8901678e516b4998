"""The schema grows by numbered scripts, each whole or not at all."""

import sqlite3
from pathlib import Path

import pytest

from host.db.database import Database
from host.db.migrations import Migration, schema_version, shipped_migrations

START = shipped_migrations()[0]
SECOND = Migration(2, "ALTER TABLE meta ADD COLUMN note TEXT;")
BROKEN = Migration(2, "CREATE TABLE half (a); INSERT INTO nowhere VALUES (1);")


def tables(connection: sqlite3.Connection) -> set[str]:
    return {name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}


def put_key(connection: sqlite3.Connection) -> None:
    connection.execute("INSERT INTO meta (key, value) VALUES ('a', '1')")


async def test_the_shipped_scripts_make_the_tables_of_the_contract(tmp_path: Path) -> None:
    database = await Database.open(tmp_path / "daemon.db")
    assert {"meta", "projects", "fs_state", "requests"} <= await database.read(tables)
    assert await database.read(schema_version) == len(shipped_migrations())
    await database.close()


async def test_a_new_file_needs_no_copy(tmp_path: Path) -> None:
    database = await Database.open(tmp_path / "daemon.db", migrations=(START, SECOND))
    await database.close()
    assert not list(tmp_path.glob("*.backup-*"))


async def test_an_older_file_is_copied_privately_and_then_brought_up_to_date(tmp_path: Path) -> None:
    path = tmp_path / "daemon.db"
    old = await Database.open(path, migrations=(START,))
    await old.write(put_key)
    await old.close()
    (tmp_path / "daemon.db.backup-v1").write_bytes(b"what a copy that was cut short left behind")

    new = await Database.open(path, migrations=(START, SECOND))
    assert await new.read(schema_version) == 2
    row = await new.read(lambda connection: connection.execute("SELECT key, note FROM meta").fetchone())
    assert row == ("a", None)
    await new.close()

    backup = tmp_path / "daemon.db.backup-v1"
    assert backup.stat().st_mode & 0o777 == 0o600
    copy = sqlite3.connect(backup)
    assert schema_version(copy) == 1
    assert copy.execute("SELECT key FROM meta").fetchone() == ("a",)
    copy.close()


async def test_a_script_that_fails_leaves_the_version_before_it(tmp_path: Path) -> None:
    path = tmp_path / "daemon.db"
    old = await Database.open(path, migrations=(START,))
    await old.write(put_key)
    await old.close()
    with pytest.raises(sqlite3.OperationalError):
        await Database.open(path, migrations=(START, BROKEN))

    database = await Database.open(path, migrations=(START,))
    assert database.warnings == ()
    assert await database.read(schema_version) == 1
    assert "half" not in await database.read(tables)
    await database.close()
