"""A database file is private and sound, or set aside."""

import os
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from host.core.clock import rfc3339
from host.db.database import Database
from host.db.errors import DatabaseLocked, DatabaseNewer, DatabaseNotAccessible
from host.db.migrations import shipped_migrations
from host.db.opening import APPLICATION_ID
from host.db.projects import Project, all_fs_seqs, all_projects, insert_project, set_last_fs_seq

NOW_S = 1_760_000_000.0
AT = rfc3339(NOW_S)


@pytest.fixture(params=[0o000, 0o022, 0o277])
def umask(request: pytest.FixtureRequest) -> Iterator[None]:
    old = os.umask(request.param)
    yield
    os.umask(old)


def mode(path: Path) -> int:
    return path.stat().st_mode & 0o777


def project(number: int, path: str = "") -> Project:
    return Project(f"proj_{number:016}", f"name {number}", Path(path or f"/code/{number}"), AT, AT)


async def filled(path: Path, projects: int) -> None:
    database = await Database.open(path)

    def fill(connection: sqlite3.Connection) -> None:
        for number in range(projects):
            insert_project(connection, project(number))
            set_last_fs_seq(connection, project(number).project_id, 40 + number)

    await database.write(fill)
    await database.close()


def set_aside_files(directory: Path) -> list[str]:
    return sorted(file.name for file in directory.iterdir() if ".corrupt-" in file.name)


@pytest.mark.usefixtures("umask")
async def test_the_file_and_its_companions_are_the_owners_alone(tmp_path: Path) -> None:
    path = tmp_path / "daemon.db"
    database = await Database.open(path)
    files = [path, tmp_path / "daemon.db-wal", tmp_path / "daemon.db-shm"]
    assert [mode(file) for file in files] == [0o600] * 3
    await database.close()


async def test_a_mode_that_is_too_wide_is_mended(tmp_path: Path) -> None:
    path = tmp_path / "daemon.db"
    await filled(path, 1)
    path.chmod(0o644)
    database = await Database.open(path)
    assert mode(path) == 0o600
    await database.close()


async def test_a_sound_database_is_opened_without_a_warning_and_marked_as_ours(tmp_path: Path) -> None:
    path = tmp_path / "daemon.db"
    await filled(path, 2)
    database = await Database.open(path)
    assert database.warnings == ()
    assert await database.read(all_projects) == [project(0), project(1)]
    mark = await database.read(lambda connection: connection.execute("PRAGMA application_id").fetchone()[0])
    assert mark == APPLICATION_ID
    await database.close()


def garbage(path: Path) -> None:
    path.write_bytes(b"this is no database at all, and long enough to have a header of one hundred bytes" * 20)


def half_written(path: Path) -> None:
    path.write_bytes(b"SQLite format 3\0")


def truncated(path: Path) -> None:
    os.truncate(path, path.stat().st_size // 2)


def lost_but_for_its_journal(path: Path) -> None:
    path.write_bytes(b"")
    path.with_name("daemon.db-wal").write_bytes(b"x" * 100)


def foreign(path: Path) -> None:
    path.unlink()
    connection = sqlite3.connect(path)
    connection.executescript("CREATE TABLE bookmarks (url TEXT); PRAGMA user_version = 7;")
    connection.close()


def forgotten_version(path: Path) -> None:
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA user_version = 0")
    connection.close()


def unreadable_format(path: Path) -> None:
    with path.open("r+b") as file:
        file.seek(47)
        file.write(b"\xff")


def unreadable_schema(path: Path) -> None:
    path.write_bytes(path.read_bytes().replace(b"CREATE TABLE meta", b"CREATE TABL\xff meta"))


def unreadable_name(path: Path) -> None:
    path.write_bytes(path.read_bytes().replace(b"name 0", b"name \xff"))


def overwritten_in_the_middle(path: Path) -> None:
    with path.open("r+b") as file:
        file.seek(4096)
        file.write(os.urandom(4096))


@pytest.mark.parametrize(
    "damage",
    [
        garbage,
        half_written,
        truncated,
        lost_but_for_its_journal,
        foreign,
        forgotten_version,
        unreadable_format,
        unreadable_schema,
        unreadable_name,
        overwritten_in_the_middle,
    ],
)
async def test_what_is_no_sound_database_of_ours_is_set_aside_and_a_fresh_one_works(
    tmp_path: Path, damage: Callable[[Path], None]
) -> None:
    path = tmp_path / "daemon.db"
    await filled(path, 1)
    damage(path)
    damaged = path.read_bytes()

    database = await Database.open(path, clock=lambda: NOW_S)
    aside = "daemon.db.corrupt-20251009T085320Z"
    assert set_aside_files(tmp_path)[0] == aside
    assert (tmp_path / aside).read_bytes() == damaged
    assert mode(tmp_path / aside) == 0o600
    assert len(database.warnings) == 1
    assert aside in database.warnings[0]
    await database.write(lambda connection: insert_project(connection, project(9)))
    await database.close()

    again = await Database.open(path, clock=lambda: NOW_S)
    assert again.warnings == ()
    assert project(9) in await again.read(all_projects)
    await again.close()


async def test_a_database_that_lacks_a_table_or_a_column_is_set_aside_with_its_projects_kept(tmp_path: Path) -> None:
    whole = tmp_path / "daemon.db"
    await filled(whole, 1)
    with closing(sqlite3.connect(whole)) as connection:
        tables = [name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
    damages = [f"DROP TABLE {table}" for table in tables if table not in ("projects", "sqlite_sequence")]
    for number, damage in enumerate(
        [*damages, "DROP TABLE events; CREATE TABLE events (stream_id, seq, type, payload)"]
    ):
        path = tmp_path / str(number) / "daemon.db"
        path.parent.mkdir()
        path.write_bytes(whole.read_bytes())
        with closing(sqlite3.connect(path)) as connection:
            connection.executescript(damage)
        database = await Database.open(path)
        assert set_aside_files(path.parent), damage
        assert await database.read(all_projects) == [project(0)], damage
        await database.close()
    assert len(damages) > 10


@pytest.mark.parametrize(
    "damage",
    [
        "INSERT INTO meta VALUES ('machine_key', CAST(x'FFFE' AS TEXT))",
        "INSERT INTO requests VALUES ('u', 'r', x'00', 'fs_write', 'p', CAST(x'FF' AS TEXT), 'running', NULL, 0, NULL)",
        """INSERT INTO streams VALUES (1, 'command:c', 'p', 0, 1);
        INSERT INTO command_runs (stream_id, request_id, user_id, command, started_at)
        VALUES (1, 'c', 'u', 'ls', CAST(x'FF' AS TEXT))""",
    ],
)
async def test_text_that_the_start_would_stumble_on_is_damage(tmp_path: Path, damage: str) -> None:
    path = tmp_path / "daemon.db"
    await filled(path, 1)
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript(damage)
    database = await Database.open(path)
    assert set_aside_files(tmp_path)
    assert await database.read(all_projects) == [project(0)]
    await database.close()


async def test_the_journal_of_a_damaged_database_goes_with_it(tmp_path: Path) -> None:
    path = tmp_path / "daemon.db"
    lost_but_for_its_journal(path)
    database = await Database.open(path, clock=lambda: NOW_S)
    assert "daemon.db.corrupt-20251009T085320Z-wal" in set_aside_files(tmp_path)
    await database.close()


async def test_two_damaged_databases_in_one_second_are_both_kept(tmp_path: Path) -> None:
    path = tmp_path / "daemon.db"
    for _ in range(2):
        garbage(path)
        database = await Database.open(path, clock=lambda: NOW_S)
        await database.close()
    assert set_aside_files(tmp_path) == [
        "daemon.db.corrupt-20251009T085320Z",
        "daemon.db.corrupt-20251009T085320Z-2",
    ]


def damage_table(path: Path, table: str) -> None:
    """Overwrite the first page of one table, so that the others stay readable."""
    connection = sqlite3.connect(path)
    root = connection.execute("SELECT rootpage FROM sqlite_master WHERE name = ?", (table,)).fetchone()[0]
    page_bytes = connection.execute("PRAGMA page_size").fetchone()[0]
    connection.close()
    with path.open("r+b") as file:
        file.seek((root - 1) * page_bytes)
        file.write(b"\xff" * page_bytes)


async def test_projects_that_can_still_be_read_are_carried_over(tmp_path: Path) -> None:
    path = tmp_path / "daemon.db"
    await filled(path, 5)
    damage_table(path, "requests")
    database = await Database.open(path, clock=lambda: NOW_S)
    assert await database.read(all_projects) == [project(number) for number in range(5)]
    assert "5 projects were carried over" in database.warnings[0]
    await database.close()


async def test_a_project_that_was_carried_over_never_uses_a_change_number_again(tmp_path: Path) -> None:
    path = tmp_path / "daemon.db"
    await filled(path, 1)
    damage_table(path, "requests")
    database = await Database.open(path, clock=lambda: NOW_S)
    seq = (await database.read(all_fs_seqs))[project(0).project_id]
    most_batches_ever = NOW_S * 4
    assert most_batches_ever < seq < 2**53
    await database.close()


async def test_odd_rows_of_a_damaged_database_are_left_behind(tmp_path: Path) -> None:
    path = tmp_path / "daemon.db"
    await filled(path, 1)
    connection = sqlite3.connect(path)
    odd = [
        ("proj_1", "short id", "/code/a", AT, AT),
        (project(2).project_id, "line\nbreak", "/code/b", AT, AT),
        (project(3).project_id, "relative", "work/c", AT, AT),
        (project(4).project_id, "number", 7, AT, AT),
        (project(5).project_id, b"\xff", "/code/e", AT, AT),
        (project(6).project_id, "x" * 300, "/code/f", AT, AT),
        (project(7).project_id, "bytes in the path are sound", b"/code/\xff", AT, AT),
    ]
    connection.executemany("INSERT INTO projects VALUES (?, ?, ?, ?, ?)", odd)
    connection.commit()
    connection.close()
    damage_table(path, "requests")
    database = await Database.open(path, clock=lambda: NOW_S)
    found = await database.read(all_projects)
    assert [item.path for item in found] == [Path("/code/0"), Path(os.fsdecode(b"/code/\xff"))]
    await database.close()


async def test_a_newer_database_is_refused_and_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "daemon.db"
    await filled(path, 1)
    connection = sqlite3.connect(path)
    connection.execute(f"PRAGMA user_version = {len(shipped_migrations()) + 1}")
    connection.close()
    before = path.read_bytes()
    with pytest.raises(DatabaseNewer, match="Upgrade pocketcoder"):
        await Database.open(path)
    assert path.read_bytes() == before
    assert set_aside_files(tmp_path) == []


async def test_a_database_that_another_program_writes_is_refused_and_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "daemon.db"
    await filled(path, 1)
    other = sqlite3.connect(path, isolation_level=None)
    try:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(DatabaseLocked, match="another program"):
            await Database.open(path, busy_timeout_s=0.01)
    finally:
        other.close()
    assert set_aside_files(tmp_path) == []


async def test_a_path_that_cannot_be_opened_is_said_so_and_nothing_is_moved(tmp_path: Path) -> None:
    (tmp_path / "daemon.db").mkdir()
    with pytest.raises(DatabaseNotAccessible, match="permissions"):
        await Database.open(tmp_path / "daemon.db")
    with pytest.raises(DatabaseNotAccessible):
        await Database.open(tmp_path / "missing" / "daemon.db")
    assert set_aside_files(tmp_path) == []
