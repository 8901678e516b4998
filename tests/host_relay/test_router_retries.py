"""A request that changes something is done once, however often and from wherever it is sent."""

import asyncio
import sqlite3
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from host.db.errors import DatabaseFull
from host.protocol.errors import Conflict
from host.protocol.messages.files import FsWrite, FsWriteResponse
from tests.host_relay.router_rig import RouterRig, code_of, request, router_rig, write_request, write_response
from tests.support.host import eventually


@pytest.fixture
async def routed(tmp_path: Path) -> AsyncIterator[RouterRig]:
    async with router_rig(tmp_path / "daemon.db") as rig:
        yield rig


class SlowWrite:
    """A handler that waits until it is let go on."""

    def __init__(self, rig: RouterRig) -> None:
        self.go_on = asyncio.Event()
        rig.writing = self._write

    async def _write(self, _: FsWrite) -> FsWriteResponse:
        await self.go_on.wait()
        return write_response()


async def test_the_same_request_again_gets_the_first_answer_and_is_not_done_again(routed: RouterRig) -> None:
    first = await routed.answer(write_request(reply_to="c1"))
    second = await routed.answer(write_request(reply_to="c2"))

    assert len(routed.writes) == 1
    assert (first["replyTo"], second["replyTo"]) == ("c1", "c2")
    assert second["payload"] == first["payload"]
    assert (second["type"], second["requestId"], second["sessionId"]) == ("fs_write_response", "w1", "proj_1")


async def test_members_in_another_order_are_the_same_request(routed: RouterRig) -> None:
    await routed.answer(request("fs_write", {"path": "a", "content": "x"}))

    assert code_of(await routed.answer(request("fs_write", {"content": "x", "path": "a"}))) is None
    assert len(routed.writes) == 1


async def test_a_copy_sent_while_it_runs_joins_it_and_both_addresses_are_answered(routed: RouterRig) -> None:
    slow = SlowWrite(routed)
    routed.router.accept(write_request(reply_to="c1"))
    await eventually(lambda: len(routed.writes) == 1)
    routed.router.accept(write_request(reply_to="c2"))
    routed.router.accept(write_request(reply_to="c1"))
    await eventually(lambda: routed.router.active == 1)
    slow.go_on.set()
    answers = await routed.answers()

    assert sorted(answer["replyTo"] for answer in answers) == ["c1", "c2"]
    assert len(routed.writes) == 1


async def test_copies_that_arrive_together_are_done_once(routed: RouterRig) -> None:
    for number in range(10):
        routed.router.accept(write_request(reply_to=f"c{number}"))
    answers = await routed.answers()

    assert sorted(answer["replyTo"] for answer in answers) == [f"c{number}" for number in range(10)]
    assert len(routed.writes) == 1


async def test_another_request_under_a_used_id_is_refused_while_it_runs_and_after(routed: RouterRig) -> None:
    slow = SlowWrite(routed)
    routed.router.accept(write_request("hello"))
    await eventually(lambda: len(routed.writes) == 1)
    routed.router.accept(write_request("other", reply_to="c2"))
    await eventually(lambda: len(routed.sent) == 1)
    slow.go_on.set()
    refused, done = await routed.answers()
    afterwards = await routed.answer(write_request("other"))

    assert (code_of(refused), refused["replyTo"]) == ("INVALID_REQUEST", "c2")
    assert refused["error"]["details"]["errors"][0]["field"] == "requestId"
    assert code_of(done) is None
    assert code_of(afterwards) == "INVALID_REQUEST"
    assert len(routed.writes) == 1


async def test_ids_of_different_users_are_different(routed: RouterRig) -> None:
    await routed.answer(write_request("hello"))
    routed.user_id = "user-2"

    assert code_of(await routed.answer(write_request("other"))) is None
    assert len(routed.writes) == 2


async def test_the_answer_is_remembered_over_a_restart(tmp_path: Path) -> None:
    path = tmp_path / "daemon.db"
    async with router_rig(path) as rig:
        first = await rig.answer(write_request())
    async with router_rig(path) as rig:
        await rig.log.recover()
        second = await rig.answer(write_request(reply_to="c2"))

    assert rig.writes == []
    assert second == {**first, "replyTo": "c2"}


async def test_a_request_cut_off_by_the_end_of_the_daemon_has_an_unknown_outcome_and_is_never_run_again(
    tmp_path: Path,
) -> None:
    path = tmp_path / "daemon.db"
    async with router_rig(path) as rig:
        SlowWrite(rig)
        rig.router.accept(write_request())
        await eventually(lambda: len(rig.writes) == 1)
        await rig.router.cancel()
        assert rig.sent == []
        states = await rig.database.read(lambda connection: connection.execute("SELECT state FROM requests").fetchall())
        assert states == [("running",)]
    async with router_rig(path) as rig:
        assert await rig.log.recover() == 1
        for _ in range(2):
            answer = await rig.answer(write_request())
            assert code_of(answer) == "UNKNOWN_ERROR"
            assert answer["error"]["details"] == {"outcome": "unknown"}
        assert rig.writes == []


async def test_a_refusal_before_any_effect_is_not_remembered(routed: RouterRig) -> None:
    async def stale(_: FsWrite) -> FsWriteResponse:
        raise Conflict("a was changed meanwhile.", etag="etag-2")

    at_once, routed.writing = routed.writing, stale
    assert code_of(await routed.answer(write_request())) == "CONFLICT"
    routed.writing = at_once

    assert code_of(await routed.answer(write_request())) is None
    assert len(routed.writes) == 2


async def test_a_wrong_payload_does_not_use_its_id_up(routed: RouterRig) -> None:
    assert code_of(await routed.answer(request("fs_write", {"path": "a"}))) == "INVALID_REQUEST"

    assert code_of(await routed.answer(request("fs_write", {"path": "a", "content": ""}))) is None


async def test_a_failure_that_was_not_foreseen_is_remembered_as_an_unknown_outcome(routed: RouterRig) -> None:
    async def failing(_: FsWrite) -> FsWriteResponse:
        raise RuntimeError

    routed.writing = failing
    first = await routed.answer(write_request())
    second = await routed.answer(write_request())

    assert first["error"]["details"] == {"outcome": "unknown"}
    assert second["error"] == first["error"]
    assert len(routed.writes) == 1


async def test_what_cannot_be_written_down_is_not_done(
    routed: RouterRig, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    async def full(*_: object) -> None:
        raise DatabaseFull(tmp_path)

    with monkeypatch.context() as patch:
        patch.setattr(routed.log, "begin", full)
        answer = await routed.answer(write_request())
    assert answer["error"]["details"] == {"reason": "noSpace"}
    assert str(tmp_path) not in answer["error"]["message"]
    assert routed.writes == []

    assert code_of(await routed.answer(write_request())) is None


async def test_a_database_that_was_closed_is_answered_and_nothing_is_done(routed: RouterRig) -> None:
    await routed.database.close()

    assert code_of(await routed.answer(write_request())) == "UNKNOWN_ERROR"
    assert routed.writes == []


async def test_an_end_that_cannot_be_stored_is_told_now_and_unknown_to_a_retry(
    routed: RouterRig, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    async def full(*_: object) -> None:
        raise DatabaseFull(tmp_path)

    monkeypatch.setattr(routed.log, "finish", full)

    assert code_of(await routed.answer(write_request())) is None
    retried = await routed.answer(write_request())
    assert retried["error"]["details"] == {"outcome": "unknown"}
    assert len(routed.writes) == 1


async def test_a_fault_of_the_log_itself_is_answered_without_internals(
    routed: RouterRig, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def broken(*_: object) -> None:
        raise sqlite3.OperationalError("no such table: s3cret")

    with monkeypatch.context() as patch:
        patch.setattr(routed.log, "begin", broken)
        answer = await routed.answer(write_request())

    assert code_of(answer) == "UNKNOWN_ERROR"
    assert "s3cret" not in str(answer)
    assert routed.writes == []
