"""The daemon stops, or its disk is full: every turn gets its one end, and what waits goes on by itself."""

import asyncio
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from host.db.agent_turns import queued_sessions
from host.db.database import Database
from host.db.errors import DatabaseFull, DatabaseLocked
from tests.agents.agent_rig import AgentRig, agent_rig


@pytest.fixture
def short_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("host.agents.running_turn.RETRY_INTERVAL_S", 0.01)
    monkeypatch.setattr("host.agents.turns.RETRY_INTERVAL_S", 0.01)


class FullDisk:
    """Writes of the database fail while it is full; ``refused`` counts them."""

    def __init__(self, rig: AgentRig, monkeypatch: pytest.MonkeyPatch) -> None:
        self.is_full = False
        self.refused = 0
        self._refusals = asyncio.Condition()
        self._path = Path("daemon.db")
        self._write = rig.database.write
        monkeypatch.setattr(rig.database, "write", self.write)

    async def write(self, job: Callable[[sqlite3.Connection], Any]) -> Any:
        if self.is_full:
            async with self._refusals:
                self.refused += 1
                self._refusals.notify_all()
            raise DatabaseFull(self._path)
        return await self._write(job)

    async def until_refused(self, more: int) -> None:
        wanted = self.refused + more
        async with asyncio.timeout(10), self._refusals:
            await self._refusals.wait_for(lambda: self.refused >= wanted)


async def test_a_stop_waits_for_a_turn_and_begins_no_other(tmp_path: Path) -> None:
    async with agent_rig(tmp_path) as rig:
        session, turn = await rig.begin("wait go")
        late = (await rig.send(session, "say late"))["turnId"]
        await rig.told_of("init", turnId=turn)
        stopping = asyncio.create_task(rig.service.wind_down())
        rig.agent.gate("go").set()
        assert (await rig.done(turn))["reason"] == "completed"
        await stopping
        assert len(rig.agent.orders) == 1
    async with agent_rig(tmp_path) as rig:
        assert (await rig.done(late))["reason"] == "completed"
        kinds = [event["type"] for event in await rig.log(session) if event["turnId"] == late]
        assert kinds == ["user", "queued", "init", "text", "done"]


async def test_a_stop_waits_for_nobodys_answer_and_the_prompt_is_interrupted(tmp_path: Path) -> None:
    async with agent_rig(tmp_path) as rig:
        session, turn = await rig.begin("ask Bash")
        prompt_id = (await rig.told_of("prompt"))["promptId"]
        async with asyncio.timeout(5):
            await rig.service.wind_down()
            await rig.service.close()
        assert (await rig.done(turn))["reason"] == "interrupted"
        assert [event["kind"] for event in rig.attention()] == ["prompt", "cleared", "failed"]
        assert rig.agent.turns[0].is_left
    async with agent_rig(tmp_path) as rig:
        log = await rig.log(session)
        assert [(event["type"], event.get("decision"), event.get("reason")) for event in log[-2:]] == [
            ("prompt_resolved", "interrupted", None),
            ("done", None, "interrupted"),
        ]
        late = await rig.answer(session, prompt_id)
        assert late == {"success": True, "applied": False, "decision": "interrupted"}
        assert rig.agent.orders == []


async def test_many_queues_go_on_after_a_restart_each_in_its_order(tmp_path: Path) -> None:
    waiting: dict[str, list[str]] = {}
    async with agent_rig(tmp_path) as rig:
        for _ in range(12):
            session, turn = await rig.begin("wait never")
            waiting[session] = [turn, *[(await rig.send(session, f"say {number}"))["turnId"] for number in range(3)]]
    async with agent_rig(tmp_path) as rig:
        rig.agent.gate("never").set()
        for session, turns in waiting.items():
            await rig.done(turns[-1])
            ends = [event for event in await rig.log(session) if event["type"] == "done"]
            assert [event["turnId"] for event in ends] == turns
        started = [order.turn_id for order in rig.agent.orders]
        assert len(started) == len(set(started))


@pytest.mark.usefixtures("short_waits")
async def test_an_agent_whose_doings_cannot_be_logged_is_ended_and_its_end_waits_for_room(
    rig: AgentRig, monkeypatch: pytest.MonkeyPatch
) -> None:
    session, turn = await rig.begin("wait go", "say lost", "say never")
    await rig.told_of("init")
    disk = FullDisk(rig, monkeypatch)
    disk.is_full = True
    rig.agent.gate("go").set()
    await disk.until_refused(3)
    assert rig.agent.turns[0].is_left
    disk.is_full = False

    assert (await rig.done(turn))["reason"] == "failed"
    assert [event["type"] for event in await rig.log(session)] == ["user", "init", "error", "done"]
    assert "disk full" in (await rig.told_of("error"))["message"]


@pytest.mark.usefixtures("short_waits")
async def test_a_turn_that_cannot_be_begun_is_begun_later(rig: AgentRig, monkeypatch: pytest.MonkeyPatch) -> None:
    session, _ = await rig.begin("wait go")
    late = (await rig.send(session, "say late"))["turnId"]
    disk = FullDisk(rig, monkeypatch)
    finished = asyncio.Event()

    async def only_ends(job: Callable[[sqlite3.Connection], Any]) -> Any:
        """The end of the first turn is stored; the start of the next one fails at first."""
        result = await FullDisk.write(disk, job)
        disk.is_full = not finished.is_set()
        return result

    monkeypatch.setattr(rig.database, "write", only_ends)
    rig.agent.gate("go").set()
    await disk.until_refused(2)
    finished.set()
    disk.is_full = False
    assert (await rig.done(late))["reason"] == "completed"


@pytest.mark.usefixtures("short_waits")
async def test_what_waits_goes_on_once_no_other_program_holds_the_database(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with agent_rig(tmp_path) as rig:
        session, _ = await rig.begin("wait never")
        late = (await rig.send(session, "say late"))["turnId"]
    read = Database.read
    refusals = [DatabaseLocked(tmp_path), DatabaseLocked(tmp_path)]

    async def read_in_the_end(database: Database, job: Callable[[sqlite3.Connection], Any]) -> Any:
        if job is queued_sessions and refusals:
            raise refusals.pop()
        return await read(database, job)

    monkeypatch.setattr(Database, "read", read_in_the_end)
    async with agent_rig(tmp_path) as rig:
        assert (await rig.done(late))["reason"] == "completed"
    assert refusals == []
