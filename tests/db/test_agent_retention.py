"""Of a session's events 30 days and 50 MB are kept; its numbers go on, and what is unfinished stays."""

import sqlite3
from pathlib import Path

import msgspec
import pytest

from host.core.clock import rfc3339
from host.db.agent_retention import AgentRetention
from host.db.agent_sessions import NewSession, StoredSession, add_session, find_session, log_events
from host.db.agent_turns import WaitingTurn, add_turn, end_turn, start_turn, state_of_turn
from host.db.database import Database
from host.db.event_log import EventLog
from host.db.projects import Project, insert_project
from host.protocol.limits import KEPT_AGENT_EVENTS_S
from host.protocol.messages.agent_events import Text
from host.protocol.messages.events import EventsReadResponse
from tests.support.command_runs import FakeClock
from tests.support.event_log import WrittenLog

PROJECT = Project("proj_0000000000000001", "p", Path("/p"), "2026-02-12T10:00:00.123Z", "2026-02-12T10:00:00.123Z")
SESSION = "00000000-0000-4000-8000-000000000001"
KIB = 1024


class Store:
    """One session with a little to keep."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self.clock = FakeClock()
        self.retention = AgentRetention(database, clock=self.clock, keep_bytes=100 * KIB)
        self.session: StoredSession

    @property
    def now(self) -> str:
        return rfc3339(self.clock())

    async def open(self) -> None:
        def job(connection: sqlite3.Connection) -> StoredSession:
            insert_project(connection, PROJECT)
            return add_session(connection, NewSession(SESSION, PROJECT.project_id, "claude", "Title", self.now))

        self.session = await self.database.write(job)

    async def log(self, *sizes: int) -> None:
        events = [Text(text="x" * size) for size in sizes]
        await self.database.write(lambda connection: log_events(connection, self.session, "turn", events, self.now))

    async def read(self) -> EventsReadResponse:
        log = EventLog(self.database)
        return await log.read(f"agent:{SESSION}", PROJECT.project_id, after_seq=0, limit=1000)

    async def state(self, turn_id: str) -> str | None:
        return await self.database.read(lambda connection: state_of_turn(connection, self.session.stream_id, turn_id))


@pytest.fixture
async def store(database: Database) -> Store:
    store = Store(database)
    await store.open()
    return store


async def test_events_are_kept_for_30_days_and_the_numbers_go_on(store: Store) -> None:
    await store.log(1, 1)
    store.clock.now_s += 1
    await store.log(1)
    store.clock.now_s += KEPT_AGENT_EVENTS_S - 0.5
    await store.retention.purge()
    page = await store.read()
    assert ([event.seq for event in page.events], page.floor_seq, page.last_seq) == ([3], 3, 3)

    store.clock.now_s += 1
    await store.retention.purge()
    await store.log(1)
    page = await store.read()
    assert ([event.seq for event in page.events], page.floor_seq, page.last_seq) == ([4], 4, 4)
    assert await store.database.read(lambda connection: find_session(connection, PROJECT.project_id, SESSION))


async def test_of_too_much_the_oldest_goes_and_the_rest_is_within_the_bound(store: Store) -> None:
    await store.log(*[30 * KIB] * 5)
    await store.retention.purge()
    page = await store.read()

    assert ([event.seq for event in page.events], page.floor_seq, page.last_seq) == ([3, 4, 5], 3, 5)
    assert sum(len(event.payload) for event in page.events) <= 100 * KIB
    assert msgspec.json.decode(page.events[0].payload)["seq"] == 3
    await store.retention.purge()
    assert (await store.read()).floor_seq == 3


async def test_other_streams_are_left_alone(store: Store) -> None:
    log = WrittenLog(store.database)
    for stream in ("command:1", "agentic", "agent"):
        await log.open_stream(stream, PROJECT.project_id)
    before = await store.database.read(lambda connection: connection.execute("SELECT * FROM streams").fetchall())
    store.clock.now_s += 2 * KEPT_AGENT_EVENTS_S
    await store.retention.purge()

    assert (
        await store.database.read(lambda connection: connection.execute("SELECT * FROM streams").fetchall()) == before
    )


async def test_turns_that_ended_are_forgotten_and_those_that_wait_or_run_never(store: Store) -> None:
    def job(connection: sqlite3.Connection) -> None:
        for turn_id in ("ended", "running", "waiting"):
            add_turn(connection, store.session.stream_id, WaitingTurn(turn_id, b'"hi"', "{}"))
        start_turn(connection, "ended", store.now)
        end_turn(connection, "ended", store.now)
        start_turn(connection, "running", store.now)

    await store.database.write(job)
    await store.retention.purge()
    assert await store.state("ended") == "done"
    store.clock.now_s += KEPT_AGENT_EVENTS_S + 1
    await store.retention.purge()

    assert [await store.state(turn_id) for turn_id in ("ended", "running", "waiting")] == [None, "running", "waiting"]
