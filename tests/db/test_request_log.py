"""Retries are safe: what was begun is remembered, and what has ended is answered again."""

import asyncio
import json
import sqlite3
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from host.db.database import Database
from host.db.request_log import Finished, RequestLog, Running, Started, UnfinishedRequest, body_hash
from host.protocol.errors import InvalidRequest, OutcomeUnknown
from host.protocol.limits import REMEMBERED_REQUESTS_S

HASH = body_hash("fs_write", "proj_1", b'{"path":"a"}')
OTHER_HASH = body_hash("fs_write", "proj_1", b'{"path":"b"}')


class FakeClock:
    def __init__(self) -> None:
        self.now_s = 1_760_000_000.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def log(database: Database, clock: FakeClock) -> RequestLog:
    return RequestLog(database, clock=clock)


async def ended(log: RequestLog, request_id: str, answer: bytes = b"done") -> None:
    await log.begin("user", request_id, HASH)
    await log.finish("user", request_id, answer)


async def test_a_new_request_is_started(log: RequestLog) -> None:
    assert await log.begin("user", "r", HASH) == Started()


async def test_of_concurrent_begins_exactly_one_starts(log: RequestLog) -> None:
    begun = await asyncio.gather(*(log.begin("user", "r", HASH) for _ in range(20)))
    assert begun.count(Started()) == 1
    assert begun.count(Running()) == 19


async def test_a_finished_request_is_answered_with_the_same_bytes(log: RequestLog) -> None:
    answer = '{"name":"\u00e9"}'.encode() + b"\0\xff"
    await ended(log, "r", answer)
    assert await log.begin("user", "r", HASH) == Finished(answer)


async def test_an_id_that_was_used_for_something_else_is_refused_whatever_became_of_it(log: RequestLog) -> None:
    await log.begin("user", "running", HASH)
    await ended(log, "ended")
    await log.begin("user", "lost", HASH)
    await log.recover()
    for request_id in ("running", "ended", "lost"):
        with pytest.raises(InvalidRequest, match="requestId"):
            await log.begin("user", request_id, OTHER_HASH)


async def test_ids_of_different_users_do_not_meet(log: RequestLog) -> None:
    await ended(log, "r")
    assert await log.begin("somebody else", "r", OTHER_HASH) == Started()


async def test_a_refused_request_is_forgotten_and_its_id_is_free(log: RequestLog) -> None:
    await log.begin("user", "r", HASH)
    await log.forget("user", "r")
    assert await log.begin("user", "r", OTHER_HASH) == Started()


async def test_an_ended_request_cannot_be_forgotten(log: RequestLog) -> None:
    await ended(log, "r")
    await log.forget("user", "r")
    assert await log.begin("user", "r", HASH) == Finished(b"done")


async def test_finishing_what_does_not_run_is_a_fault(log: RequestLog) -> None:
    with pytest.raises(LookupError):
        await log.finish("user", "never begun", b"")
    await ended(log, "r")
    with pytest.raises(LookupError):
        await log.finish("user", "r", b"another")
    assert await log.begin("user", "r", HASH) == Finished(b"done")


async def test_what_ran_when_the_daemon_ended_has_an_unknown_outcome_for_ever(
    tmp_path: Path, log: RequestLog, database: Database
) -> None:
    await log.begin("user", "r", HASH)
    await ended(log, "ended")
    await database.close()

    again = await Database.open(tmp_path / "daemon.db")
    log = RequestLog(again)
    assert await log.recover() == 1
    for _ in range(2):
        with pytest.raises(OutcomeUnknown):
            await log.begin("user", "r", HASH)
    assert await log.begin("user", "ended", HASH) == Finished(b"done")
    assert await log.recover() == 0
    await again.close()


async def test_what_was_under_way_is_told_with_what_it_was_about_until_it_is_settled(log: RequestLog) -> None:
    path = "d\0/\u202eü"
    await log.begin("user", "1", HASH, "fs_write", "proj_1", path)
    await log.begin("user", "2", HASH, "fs_move", "proj_1")
    await log.begin("user", "ended", HASH, "fs_write", "proj_1", "f")
    await log.finish("user", "ended", b"done")
    await log.begin("user", "refused", HASH, "fs_write", "proj_1", "f")
    await log.forget("user", "refused")
    for _ in range(2):
        assert await log.unfinished() == [
            UnfinishedRequest("user", "1", "fs_write", "proj_1", path),
            UnfinishedRequest("user", "2", "fs_move", "proj_1", None),
        ]
    await log.recover()
    assert await log.unfinished() == []


async def test_what_ended_is_kept_for_a_day_and_what_runs_for_longer(log: RequestLog, clock: FakeClock) -> None:
    await log.begin("user", "running", HASH)
    await ended(log, "ended")
    clock.now_s += REMEMBERED_REQUESTS_S
    await log.purge()
    assert await log.begin("user", "ended", HASH) == Finished(b"done")
    clock.now_s += 1
    await log.purge()
    assert await log.begin("user", "ended", HASH) == Started()
    assert await log.begin("user", "running", HASH) == Running()


async def test_of_too_many_the_oldest_go_by_themselves(database: Database, clock: FakeClock) -> None:
    log = RequestLog(database, clock=clock, keep_max=3, finished_per_purge=5)
    await log.begin("user", "running", HASH)
    for number in range(5):
        clock.now_s += 1
        await ended(log, f"{number}")

    def remaining(connection: sqlite3.Connection) -> list[str]:
        return [row[0] for row in connection.execute("SELECT request_id FROM requests ORDER BY created_at_s")]

    assert await database.read(remaining) == ["running", "2", "3", "4"]


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=10,
)


def reordered(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: reordered(value[key]) for key in reversed(value)}
    return [reordered(item) for item in value] if isinstance(value, list) else value


@settings(max_examples=50)
@given(st.dictionaries(st.text(), json_values, max_size=4))
def test_members_order_and_white_space_do_not_change_the_hash(payload: dict[str, Any]) -> None:
    compact = json.dumps(payload, ensure_ascii=False, separators=(",", ":")).encode()
    airy = json.dumps(reordered(payload), ensure_ascii=True, indent=3).encode()
    assert body_hash("fs_write", "p", compact) == body_hash("fs_write", "p", airy)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (("fs_write", "p", b'{"a":1}'), ("fs_write", "p", b'{"a":2}')),
        (("fs_write", "p", b'{"a":1}'), ("fs_write", "p", b'{"a":"1"}')),
        (("fs_write", "p", b'{"a":1}'), ("fs_write", "p", b'{"a":true}')),
        (("fs_write", "p", b'{"a":null}'), ("fs_write", "p", b"{}")),
        (("fs_write", "p", b'{"a":[1,2]}'), ("fs_write", "p", b'{"a":[2,1]}')),
        (("fs_write", "p", b"{}"), ("fs_move", "p", b"{}")),
        (("fs_write", "p", b"{}"), ("fs_write", "q", b"{}")),
        (("fs_write", "p", b"{}"), ("fs_write", None, b"{}")),
        (("fs_write", None, b"{}"), ("fs_write", "", b"{}")),
        (("fs_write", "p", b"{}"), ("fs_writep", "", b"{}")),
        (("t", "p", b'{"a":123456789012345678901234567890}'), ("t", "p", b'{"a":123456789012345678901234567891}')),
    ],
)
def test_what_asks_for_something_else_has_another_hash(
    one: tuple[str, str | None, bytes], other: tuple[str, str | None, bytes]
) -> None:
    assert body_hash(*one) != body_hash(*other)


@pytest.mark.parametrize(
    "payload",
    [
        b"",
        b"{",
        b"[]",
        b'"text"',
        b"null",
        b'{"a":NaN}',
        b'{"a":1e999}',
        b'{"a":"\\ud800"}',
        b'{"a":"\xff"}',
        b"[" * 200_000,
        b'{"a":' * 100_000 + b"1" + b"}" * 100_000,
        b'{"a":' + b"9" * 5_000 + b"}",
    ],
    ids=range(12),
)
def test_what_is_no_json_object_is_an_invalid_request(payload: bytes) -> None:
    with pytest.raises(InvalidRequest):
        body_hash("fs_write", "p", payload)


@given(st.binary(max_size=40), st.text(max_size=5))
def test_no_bytes_raise_anything_else(payload: bytes, text: str) -> None:
    for candidate in (payload, b'{"a":' + payload + b"}"):
        try:
            digest = body_hash(text, text, candidate)
        except InvalidRequest:
            continue
        assert len(digest) == 32


def test_a_lone_surrogate_in_the_envelope_is_an_invalid_request_too() -> None:
    with pytest.raises(InvalidRequest):
        body_hash("fs_write", "\ud800", b"{}")


def test_of_a_member_given_twice_the_last_counts() -> None:
    assert body_hash("t", "p", b'{"a":1,"a":2}') == body_hash("t", "p", b'{"a":2}')
