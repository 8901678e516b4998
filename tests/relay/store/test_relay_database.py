import os
import sqlite3
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from relay_stub.store.data_directory import StoreError
from relay_stub.store.database import MIGRATIONS, Database


@pytest.fixture
def no_umask() -> Iterator[None]:
    before = os.umask(0o000)
    yield
    os.umask(before)


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def add_key(database: Database, kid: str) -> None:
    database.execute("INSERT INTO signing_keys VALUES (?, ?, 0, NULL)", (kid, b"secret"))


def kids(database: Database) -> list[str]:
    return [kid for (kid,) in database.execute("SELECT kid FROM signing_keys ORDER BY kid")]


@pytest.mark.usefixtures("no_umask")
def test_everything_is_private_whatever_the_umask(tmp_path: Path) -> None:
    data_dir = tmp_path / "deep" / "relay"
    database = Database.open(data_dir)
    add_key(database, "one")
    modes = {path.name: mode(path) for path in data_dir.iterdir()}
    database.close()
    assert modes == dict.fromkeys(("relay.db", "relay.db-wal", "relay.db-shm", "relay.lock"), 0o600)
    assert mode(data_dir) == mode(data_dir.parent) == 0o700


def write_and_die(data_dir: Path) -> None:
    """What a relay leaves that is killed right after a commit."""
    script = (
        "import os, pathlib, sys\n"
        "from relay_stub.store.database import Database\n"
        "database = Database.open(pathlib.Path(sys.argv[1]))\n"
        "database.execute('INSERT INTO signing_keys VALUES (?, ?, 0, NULL)', ('one', b'secret'))\n"
        "os._exit(0)\n"
    )
    subprocess.run([sys.executable, "-c", script, str(data_dir)], check=True, timeout=30)


def test_files_that_others_could_read_are_made_private(tmp_path: Path) -> None:
    write_and_die(tmp_path)
    assert (tmp_path / "relay.db-wal").stat().st_size > 0
    for path in tmp_path.iterdir():
        path.chmod(0o644)
    database = Database.open(tmp_path)
    modes = {path.name: mode(path) for path in tmp_path.iterdir()}
    database.close()
    assert modes == dict.fromkeys(("relay.db", "relay.db-wal", "relay.db-shm", "relay.lock"), 0o600)


def test_what_was_committed_survives_an_end_without_closing(tmp_path: Path) -> None:
    write_and_die(tmp_path)
    database = Database.open(tmp_path)
    assert kids(database) == ["one"]
    database.close()


def test_a_failed_transaction_leaves_nothing(tmp_path: Path) -> None:
    database = Database.open(tmp_path)

    with pytest.raises(sqlite3.IntegrityError), database.transaction():
        database.execute_many(
            "INSERT INTO signing_keys VALUES (?, ?, 0, NULL)", [("one", b"secret"), ("one", b"secret")]
        )
    assert kids(database) == []
    with database.transaction():
        add_key(database, "two")
    assert kids(database) == ["two"]
    database.close()


def test_the_connection_is_durable_and_checks_references(tmp_path: Path) -> None:
    database = Database.open(tmp_path)
    settings = {
        name: database.execute(f"PRAGMA {name}").fetchone()[0]
        for name in ("journal_mode", "synchronous", "foreign_keys", "busy_timeout", "user_version")
    }
    database.close()
    assert settings == {
        "journal_mode": "wal",
        "synchronous": 2,
        "foreign_keys": 1,
        "busy_timeout": 5000,
        "user_version": len(MIGRATIONS),
    }


def test_a_second_relay_on_the_same_directory_is_refused(tmp_path: Path) -> None:
    first = Database.open(tmp_path)
    with pytest.raises(StoreError, match="Another relay is running on the data directory"):
        Database.open(tmp_path)
    first.close()
    Database.open(tmp_path).close()


def damage_header(path: Path) -> None:
    path.write_bytes(b"this is no database" * 1000)


def damage_middle(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[4096:] = os.urandom(len(content) - 4096)
    path.write_bytes(content)


@pytest.mark.parametrize("damage", [damage_header, damage_middle])
def test_a_damaged_file_is_named_and_left_as_it_is(tmp_path: Path, damage: object) -> None:
    Database.open(tmp_path).close()
    path = tmp_path / "relay.db"
    assert callable(damage)
    damage(path)
    before = path.read_bytes()
    with pytest.raises(StoreError, match=r"relay\.db is damaged\. Move it away"):
        Database.open(tmp_path)
    assert path.read_bytes() == before


def test_after_a_refused_start_the_directory_is_free_again(tmp_path: Path) -> None:
    (tmp_path / "relay.db").write_bytes(b"this is no database" * 1000)
    with pytest.raises(StoreError):
        Database.open(tmp_path)
    (tmp_path / "relay.db").unlink()
    Database.open(tmp_path).close()


def test_a_newer_relays_database_is_left_alone(tmp_path: Path) -> None:
    Database.open(tmp_path).close()
    connection = sqlite3.connect(tmp_path / "relay.db")
    connection.execute(f"PRAGMA user_version = {len(MIGRATIONS) + 1}")
    connection.close()
    with pytest.raises(StoreError, match="written by a newer relay"):
        Database.open(tmp_path)


def test_a_directory_that_cannot_be_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StoreError, match="cannot write to its data directory"):
        Database.open(tmp_path / "file" / "relay")


@pytest.mark.skipif(os.getuid() == 0, reason="root may write anywhere")
def test_a_directory_that_may_not_be_written_is_named(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    with pytest.raises(StoreError, match="cannot write to its data directory"):
        Database.open(tmp_path)
    tmp_path.chmod(0o700)


def test_beside_a_running_relay_nothing_is_upgraded(tmp_path: Path) -> None:
    relay = Database.open(tmp_path)
    relay.execute("PRAGMA user_version = 0")
    with pytest.raises(StoreError, match="An older relay, or one that just starts, is running"):
        Database.open_beside(tmp_path)
    relay.close()
