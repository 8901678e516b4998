"""Runs are kept for 7 days, at most 10,000; their streams go with them, and their ids are taken until then."""

import sqlite3
from pathlib import Path

import pytest

from host.db.command_runs import CommandRuns
from host.db.database import Database
from host.db.projects import Project, delete_project, insert_project
from host.db.request_log import Finished, RequestLog, Started
from host.protocol.errors import InvalidRequest
from host.protocol.limits import KEPT_RUNS_S, REMEMBERED_REQUESTS_S
from tests.support.command_runs import EXITED, FakeClock
from tests.support.event_log import WrittenLog

AT = "2026-02-12T10:00:00.123Z"
PROJECT = Project("proj_0000000000000001", "p", Path("/p"), AT, AT)
HASH = b"h" * 32


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
async def runs(database: Database, clock: FakeClock) -> CommandRuns:
    await database.write(lambda connection: insert_project(connection, PROJECT))
    return CommandRuns(database, clock=clock)


@pytest.fixture
def requests(database: Database, clock: FakeClock) -> RequestLog:
    return RequestLog(database, clock=clock)


async def start(runs: CommandRuns, request_id: str, *, user_id: str = "user") -> None:
    await runs.start(user_id, PROJECT.project_id, request_id, "make")


async def run_to_the_end(runs: CommandRuns, *request_ids: str) -> None:
    for request_id in request_ids:
        await start(runs, request_id)
        await runs.finish(request_id, EXITED)


async def kept(database: Database) -> list[str]:
    """The runs that are kept, first to last; each has its stream and its events, and nobody else has."""

    def job(connection: sqlite3.Connection) -> list[str]:
        rows = connection.execute("SELECT request_id, stream_id FROM command_runs ORDER BY stream_id").fetchall()
        for table in ("streams", "events"):
            ids = connection.execute(f"SELECT DISTINCT stream_id FROM {table} ORDER BY stream_id").fetchall()
            assert ids == [(stream_id,) for _, stream_id in rows]
        return [request_id for request_id, _ in rows]

    return await database.read(job)


async def test_what_ended_is_kept_for_7_days_and_what_runs_for_longer(
    runs: CommandRuns, database: Database, clock: FakeClock
) -> None:
    await start(runs, "running")
    await run_to_the_end(runs, "ended")
    clock.now_s += KEPT_RUNS_S
    await runs.purge()
    await runs.finish("running", EXITED)
    assert await kept(database) == ["running", "ended"]
    clock.now_s += 0.001
    await runs.purge()
    assert await kept(database) == ["running"]


async def test_of_too_many_the_oldest_go_but_never_what_runs(database: Database, runs: CommandRuns) -> None:
    few = CommandRuns(database, keep_max=15)
    await start(few, "first")
    await few.finish("first", EXITED)
    await start(few, "running")
    await run_to_the_end(few, *(f"{number}" for number in range(40)))
    await few.purge()
    await few.finish("running", EXITED)
    assert await kept(database) == ["running", *(f"{number}" for number in range(25, 40))]


async def test_the_runs_of_a_project_that_was_removed_go(runs: CommandRuns, database: Database) -> None:
    await start(runs, "running")
    await run_to_the_end(runs, "ended")
    await database.write(lambda connection: delete_project(connection, PROJECT.project_id))
    await runs.purge()
    await runs.finish("running", EXITED)
    assert await kept(database) == ["running"]
    await runs.purge()
    assert await kept(database) == []


async def test_streams_that_are_no_runs_are_left_alone(runs: CommandRuns, database: Database, clock: FakeClock) -> None:
    log = WrittenLog(database)
    await log.open_stream("agent:1", "proj_that_is_gone")
    clock.now_s += 2 * KEPT_RUNS_S
    await runs.purge()
    await log.read("agent:1", "proj_that_is_gone", after_seq=0, limit=1)


async def answered(requests: RequestLog, request_id: str, *, user_id: str = "user") -> None:
    await requests.begin(user_id, request_id, HASH, "command_exec")
    await requests.finish(user_id, request_id, b"exit")


async def test_a_commands_answer_is_kept_as_long_as_its_run(
    runs: CommandRuns, requests: RequestLog, clock: FakeClock
) -> None:
    await run_to_the_end(runs, "r")
    await answered(requests, "r")
    await answered(requests, "of a file")
    clock.now_s += KEPT_RUNS_S
    await requests.purge()
    assert await requests.begin("user", "r", HASH) == Finished(b"exit")
    with pytest.raises(InvalidRequest):
        await requests.begin("user", "r", b"i" * 32)
    assert await requests.begin("user", "of a file", HASH) == Started()

    clock.now_s += 1
    await runs.purge()
    await requests.purge()
    assert await requests.begin("user", "r", HASH) == Started()


async def test_the_answer_outlives_a_run_that_went_early(
    database: Database, runs: CommandRuns, requests: RequestLog, clock: FakeClock
) -> None:
    """Else the command would run again when the request is sent again."""
    await run_to_the_end(runs, "r")
    await answered(requests, "r")
    await CommandRuns(database, clock=clock, keep_max=0).purge()
    clock.now_s += REMEMBERED_REQUESTS_S
    await requests.purge()
    assert await requests.begin("user", "r", HASH) == Finished(b"exit")


async def test_the_answers_of_kept_runs_do_not_go_when_there_are_too_many_others(
    database: Database, runs: CommandRuns, clock: FakeClock
) -> None:
    requests = RequestLog(database, clock=clock, keep_max=2)
    await run_to_the_end(runs, "r")
    await answered(requests, "r")
    for number in range(3):
        clock.now_s += 1
        await answered(requests, f"{number}")
    await requests.purge()
    assert await requests.begin("user", "r", HASH) == Finished(b"exit")
    assert await requests.begin("user", "0", HASH) == Started()


async def test_a_run_keeps_only_its_own_users_answer(runs: CommandRuns, requests: RequestLog, clock: FakeClock) -> None:
    await start(runs, "r", user_id="somebody else")
    await answered(requests, "r")
    clock.now_s += REMEMBERED_REQUESTS_S + 1
    await requests.purge()
    assert await requests.begin("user", "r", HASH) == Started()
