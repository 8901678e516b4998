"""One writer, committing in groups."""

import asyncio
import sqlite3
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from host.db import database as module
from host.db.database import Database
from host.db.errors import DatabaseClosed, DatabaseDamaged, DatabaseError, DatabaseFull, DatabaseLocked

Job = Callable[[sqlite3.Connection], None]


def put(key: str, value: str = "1") -> Job:
    def job(connection: sqlite3.Connection) -> None:
        connection.execute("INSERT INTO meta (key, value) VALUES (?, ?)", (key, value))

    return job


def keys(connection: sqlite3.Connection) -> list[str]:
    return [key for (key,) in connection.execute("SELECT key FROM meta ORDER BY key")]


class Gate:
    """A job that holds the writer until it is opened, so that what follows waits together."""

    def __init__(self) -> None:
        self._entered = threading.Event()
        self._opened = threading.Event()

    def __call__(self, _connection: sqlite3.Connection) -> None:
        self._entered.set()
        assert self._opened.wait(10)

    async def held(self, database: Database) -> "asyncio.Task[None]":
        task = asyncio.create_task(database.read(self))
        assert await asyncio.to_thread(self._entered.wait, 10)
        return task

    def open(self) -> None:
        self._opened.set()


async def start(*jobs: "asyncio.Task[None]") -> None:
    """Let new tasks come as far as the writer's queue."""
    for _ in jobs:
        await asyncio.sleep(0)


async def test_a_write_is_there_for_another_connection_when_it_returns(database: Database, tmp_path: Path) -> None:
    await database.write(put("a"))
    other = sqlite3.connect(tmp_path / "daemon.db")
    try:
        assert keys(other) == ["a"]
    finally:
        other.close()


async def test_every_commit_waits_for_the_disk(database: Database) -> None:
    def settings(connection: sqlite3.Connection) -> tuple[str, int]:
        mode = connection.execute("PRAGMA journal_mode").fetchone()[0]
        return mode, connection.execute("PRAGMA synchronous").fetchone()[0]

    full = 2
    assert await database.read(settings) == ("wal", full)


async def test_a_read_sees_the_write_before_it(database: Database) -> None:
    write = asyncio.create_task(database.write(put("a")))
    read = asyncio.create_task(database.read(keys))
    assert await read == ["a"]
    await write


async def test_a_read_cannot_change_anything_and_a_write_after_it_can(database: Database) -> None:
    with pytest.raises(DatabaseError) as refused:
        await database.read(put("a"))
    assert "readonly" in str(refused.value.__cause__)
    await database.write(put("b"))
    assert await database.read(keys) == ["b"]


async def test_waiting_jobs_share_one_transaction(database: Database) -> None:
    gate = Gate()
    held = await gate.held(database)
    jobs = [asyncio.create_task(database.write(put(f"{number:03}"))) for number in range(100)]
    await start(*jobs)
    commits: list[str] = []
    database._connection.set_trace_callback(lambda sql: commits.append(sql) if sql == "COMMIT" else None)
    gate.open()
    await asyncio.gather(held, *jobs)
    # The gate's own and one for the hundred.
    assert len(commits) == 2
    assert len(await database.read(keys)) == 100


async def test_a_failing_job_undoes_only_itself(database: Database) -> None:
    gate = Gate()
    held = await gate.held(database)

    def half_then_fail(connection: sqlite3.Connection) -> None:
        put("half")(connection)
        raise ValueError("no")

    tasks = [asyncio.create_task(database.write(job)) for job in (put("a"), half_then_fail, put("b"))]
    await start(*tasks)
    gate.open()
    results = await asyncio.gather(held, *tasks, return_exceptions=True)
    assert [type(result) for result in results] == [type(None), type(None), ValueError, type(None)]
    assert await database.read(keys) == ["a", "b"]


async def test_a_constraint_is_told_to_the_one_who_broke_it(database: Database) -> None:
    await database.write(put("a"))
    with pytest.raises(sqlite3.IntegrityError):
        await database.write(put("a"))


async def test_when_the_commit_fails_every_job_of_the_group_is_told_and_nothing_is_kept(database: Database) -> None:
    await database.write(
        lambda connection: connection.execute(
            "CREATE TABLE child (parent TEXT REFERENCES meta (key) DEFERRABLE INITIALLY DEFERRED)"
        )
    )
    gate = Gate()
    held = await gate.held(database)

    def orphan(connection: sqlite3.Connection) -> None:
        connection.execute("INSERT INTO child (parent) VALUES ('nobody')")

    tasks = [asyncio.create_task(database.write(job)) for job in (put("a"), orphan, put("b"))]
    await start(*tasks)
    gate.open()
    await held
    results = await asyncio.gather(*tasks, return_exceptions=True)
    assert [type(result) for result in results] == [sqlite3.IntegrityError] * 3
    assert await database.read(keys) == []
    await database.write(put("after"))
    assert await database.read(keys) == ["after"]


async def test_a_full_disk_is_said_so_and_the_database_stays_usable(database: Database) -> None:
    def limit_pages(connection: sqlite3.Connection, pages: int = 0) -> None:
        used = connection.execute("PRAGMA page_count").fetchone()[0]
        connection.execute(f"PRAGMA max_page_count = {pages or used + 2}")

    await database.write(limit_pages)
    gate = Gate()
    held = await gate.held(database)
    tasks = [asyncio.create_task(database.write(job)) for job in (put("a"), put("big", "x" * 1_000_000))]
    await start(*tasks)
    gate.open()
    await held
    small, big = await asyncio.gather(*tasks, return_exceptions=True)
    assert isinstance(big, DatabaseFull)
    assert "Free some space" in big.message
    # Whether the small one survives is SQLite's choice; that its caller knows is ours.
    assert await database.read(keys) == ([] if isinstance(small, DatabaseFull) else ["a"])
    await database.write(lambda connection: limit_pages(connection, 1_000_000))
    await database.write(put("after", "x" * 1_000_000))
    assert "after" in await database.read(keys)


async def test_a_database_held_by_another_program_is_said_to_be_locked(tmp_path: Path) -> None:
    database = await Database.open(tmp_path / "daemon.db", busy_timeout_s=0.01)
    other = sqlite3.connect(tmp_path / "daemon.db", isolation_level=None)
    try:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(DatabaseLocked, match="another program"):
            await database.write(put("a"))
        other.execute("ROLLBACK")
        await database.write(put("a"))
        assert await database.read(keys) == ["a"]
    finally:
        other.close()
        await database.close()


async def test_a_queued_job_of_a_cancelled_caller_still_runs(database: Database) -> None:
    gate = Gate()
    held = await gate.held(database)
    queued = asyncio.create_task(database.write(put("a")))
    await start(queued)
    queued.cancel()
    with pytest.raises(asyncio.CancelledError):
        await queued
    gate.open()
    await held
    assert await database.read(keys) == ["a"]


async def test_a_running_job_of_a_cancelled_caller_runs_to_its_end(database: Database) -> None:
    gate = Gate()

    def put_slowly(connection: sqlite3.Connection) -> None:
        put("a")(connection)
        gate(connection)
        put("b")(connection)

    running = asyncio.create_task(database.write(put_slowly))
    await start(running)
    assert await asyncio.to_thread(gate._entered.wait, 10)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    gate.open()
    assert await database.read(keys) == ["a", "b"]


async def test_the_queue_is_bounded_and_one_that_waits_for_room_can_be_cancelled(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MAX_QUEUED_JOBS", 2)
    database = await Database.open(tmp_path / "daemon.db")
    gate = Gate()
    held = await gate.held(database)
    queued = asyncio.create_task(database.write(put("a")))
    outside = asyncio.create_task(database.write(put("b")))
    await start(queued, outside)
    outside.cancel()
    with pytest.raises(asyncio.CancelledError):
        await outside
    gate.open()
    await asyncio.gather(held, queued)
    assert await database.read(keys) == ["a"]
    await database.close()


async def test_close_drains_and_may_be_called_again(tmp_path: Path) -> None:
    database = await Database.open(tmp_path / "daemon.db")
    writes = [asyncio.create_task(database.write(put(f"{number}"))) for number in range(300)]
    await start(*writes)
    await asyncio.gather(database.close(), database.close())
    await asyncio.gather(*writes)
    await database.close()
    with pytest.raises(DatabaseClosed):
        await database.write(put("late"))
    again = await Database.open(tmp_path / "daemon.db")
    assert len(await again.read(keys)) == 300
    await again.close()


async def test_a_job_that_leaks_stop_iteration_does_not_leave_its_caller_waiting(database: Database) -> None:
    with pytest.raises(RuntimeError, match="StopIteration"):
        await database.read(lambda connection: next(connection.execute("SELECT 1 WHERE 0")))


async def test_a_job_that_ends_the_transaction_itself_is_told_so_and_the_next_one_runs(database: Database) -> None:
    with pytest.raises(sqlite3.OperationalError):
        await database.write(lambda connection: connection.commit())
    await database.write(put("a"))
    assert await database.read(keys) == ["a"]


async def test_damage_that_comes_to_light_is_remembered_until_a_restart(tmp_path: Path) -> None:
    def meets_damage(_: sqlite3.Connection) -> None:
        error = sqlite3.DatabaseError("database disk image is malformed")
        error.sqlite_errorcode = sqlite3.SQLITE_CORRUPT
        raise error

    database = await Database.open(tmp_path / "daemon.db")
    before = database.problem
    with pytest.raises(DatabaseDamaged):
        await database.write(meets_damage)
    await database.write(put("a"))
    assert before is None
    assert "Restart the daemon" in (database.problem or "")
    await database.close()
