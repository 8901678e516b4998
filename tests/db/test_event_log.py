"""The log is the truth: what it gave a number is there, in order and without a hole, until retention takes it."""

import asyncio
import json
from pathlib import Path
from typing import Any, ClassVar

import pytest

from host.core.clock import rfc3339
from host.db.database import Database
from host.db.event_log import NewEvent
from host.protocol.errors import SessionNotFound
from host.protocol.limits import MAX_PAGE_BYTES
from host.protocol.messages.base import Event, encode_payload
from host.protocol.messages.events import EventsReadResponse
from tests.support.event_log import WrittenLog

NOW_S = 1_760_000_000.123
STREAM = "agent:1"
PROJECT = "proj_1"


class Said(Event):
    wire_type: ClassVar[str] = "said"
    seq: int
    at: str
    text: str


def said(text: str) -> NewEvent[Said]:
    return NewEvent("text", lambda seq, at: Said(seq=seq, at=at, text=text))


@pytest.fixture
async def log(database: Database) -> WrittenLog:
    log = WrittenLog(database, clock=lambda: NOW_S)
    await log.open_stream(STREAM, PROJECT)
    return log


async def read(log: WrittenLog, *, after_seq: int = 0, limit: int = 1000) -> EventsReadResponse:
    return await log.read(STREAM, PROJECT, after_seq=after_seq, limit=limit)


def texts(page: EventsReadResponse) -> list[str]:
    payloads: list[dict[str, Any]] = [json.loads(bytes(event.payload)) for event in page.events]
    assert [payload["seq"] for payload in payloads] == [event.seq for event in page.events]
    assert [payload["at"] for payload in payloads] == [event.at for event in page.events]
    return [payload["text"] for payload in payloads]


async def test_a_new_stream_is_empty(log: WrittenLog) -> None:
    page = await read(log)
    assert (page.stream, page.events, page.last_seq, page.floor_seq, page.more) == (STREAM, [], 0, 1, False)


async def test_events_are_numbered_from_1_in_the_order_they_are_given(log: WrittenLog) -> None:
    assert [event.seq for event in await log.append(STREAM, [said("a"), said("b")])] == [1, 2]
    assert [event.seq for event in await log.append(STREAM, [said("c")])] == [3]
    page = await read(log)
    assert texts(page) == ["a", "b", "c"]
    assert [event.type for event in page.events] == ["text"] * 3
    assert page.last_seq == 3


async def test_what_is_read_is_what_was_to_be_sent_with_the_time_of_the_row(log: WrittenLog) -> None:
    (sent,) = await log.append(STREAM, [said("Grüße \u0000 \U0001f600")])
    (event,) = (await read(log)).events
    assert bytes(event.payload) == bytes(encode_payload(sent))
    assert event.at == sent.at == rfc3339(NOW_S)


async def test_of_events_given_together_all_are_logged_or_none(log: WrittenLog) -> None:
    def fail(seq: int, at: str) -> Said:
        raise ZeroDivisionError

    await log.append(STREAM, [said("a")])
    with pytest.raises(ZeroDivisionError):
        await log.append(STREAM, [said("lost"), NewEvent("text", fail)])
    await log.append(STREAM, [said("b")])
    page = await read(log)
    assert (texts(page), [event.seq for event in page.events]) == (["a", "b"], [1, 2])


async def test_no_events_use_no_number(log: WrittenLog) -> None:
    assert await log.append(STREAM, []) == []
    assert (await read(log)).last_seq == 0


async def test_many_who_write_at_once_share_no_number_and_keep_their_own_order(log: WrittenLog) -> None:
    async def write(writer: int) -> None:
        for number in range(10):
            await log.append(STREAM, [said(f"{writer} {number} {part}") for part in "ab"])

    await asyncio.gather(*(write(writer) for writer in range(10)))
    page = await read(log)
    assert [event.seq for event in page.events] == list(range(1, 201))
    for writer in range(10):
        own = [text for text in texts(page) if text.startswith(f"{writer} ")]
        assert own == [f"{writer} {number} {part}" for number in range(10) for part in "ab"]


async def test_streams_are_numbered_each_for_itself(log: WrittenLog) -> None:
    await log.open_stream("agent:2", PROJECT)
    await log.append(STREAM, [said("a")])
    assert [event.seq for event in await log.append("agent:2", [said("b")])] == [1]


async def test_a_page_begins_after_a_number_and_ends_at_its_limit(log: WrittenLog) -> None:
    await log.append(STREAM, [said(letter) for letter in "abcde"])
    page = await read(log, after_seq=1, limit=3)
    assert (texts(page), page.last_seq, page.more) == (["b", "c", "d"], 5, True)
    page = await read(log, after_seq=4, limit=1)
    assert (texts(page), page.more) == (["e"], False)
    page = await read(log, after_seq=0, limit=5)
    assert (texts(page), page.more) == (list("abcde"), False)


@pytest.mark.parametrize("after_seq", [5, 6, 2**53])
async def test_behind_the_last_event_there_is_nothing(log: WrittenLog, after_seq: int) -> None:
    await log.append(STREAM, [said(letter) for letter in "abcde"])
    page = await read(log, after_seq=after_seq)
    assert (page.events, page.last_seq, page.more) == ([], 5, False)


async def test_a_page_ends_at_4_mb(log: WrittenLog) -> None:
    await log.append(STREAM, [said("x" * (MAX_PAGE_BYTES // 4)) for _ in range(5)])
    page = await read(log)
    # The rest of the payload counts too.
    assert (len(page.events), page.more) == (3, True)
    page = await read(log, after_seq=3)
    assert (len(page.events), page.more) == (2, False)


async def test_an_event_of_over_4_mb_is_a_page_of_its_own(log: WrittenLog) -> None:
    await log.append(STREAM, [said("x" * MAX_PAGE_BYTES), said("a")])
    page = await read(log)
    assert ([event.seq for event in page.events], page.more) == ([1], True)
    assert texts(await read(log, after_seq=1)) == ["a"]


async def test_an_unknown_stream_and_another_projects_cannot_be_told_apart(log: WrittenLog) -> None:
    said_of = set()
    for stream, project_id in (("agent:2", PROJECT), (STREAM, "proj_2"), ("", ""), (STREAM.upper(), PROJECT)):
        with pytest.raises(SessionNotFound) as raised:
            await log.read(stream, project_id, after_seq=0, limit=1)
        said_of.add(raised.value.message)
    assert len(said_of) == 1


async def test_a_stream_that_is_opened_again_goes_on(log: WrittenLog) -> None:
    await log.append(STREAM, [said("a")])
    await log.open_stream(STREAM, PROJECT)
    assert [event.seq for event in await log.append(STREAM, [said("b")])] == [2]


async def test_another_projects_stream_is_not_opened(log: WrittenLog) -> None:
    with pytest.raises(SessionNotFound):
        await log.open_stream(STREAM, "proj_2")
    await log.append(STREAM, [said("a")])
    assert texts(await read(log)) == ["a"]


async def test_what_is_trimmed_is_below_the_floor_and_its_numbers_are_not_used_again(log: WrittenLog) -> None:
    await log.append(STREAM, [said(letter) for letter in "abcde"])
    await log.keep_newest(STREAM, 3)
    page = await read(log)
    assert (texts(page), page.floor_seq, page.last_seq) == (["c", "d", "e"], 3, 5)
    await log.keep_newest(STREAM, 4)
    assert (await read(log)).floor_seq == 3
    await log.keep_newest(STREAM, 0)
    page = await read(log)
    assert (page.events, page.floor_seq, page.last_seq, page.more) == ([], 6, 5, False)
    assert [event.seq for event in await log.append(STREAM, [said("f")])] == [6]
    assert texts(await read(log)) == ["f"]


async def test_a_deleted_stream_is_gone_with_its_events_and_the_others_stay(
    log: WrittenLog, database: Database
) -> None:
    await log.open_stream("agent:2", PROJECT)
    await log.append("agent:2", [said("kept")])
    await log.append(STREAM, [said("a")])
    await log.delete_stream(STREAM)
    with pytest.raises(SessionNotFound):
        await read(log)
    count = await database.read(lambda connection: connection.execute("SELECT count(*) FROM events").fetchone()[0])
    assert count == 1
    await log.open_stream(STREAM, PROJECT)
    assert (await read(log)).last_seq == 0


async def test_a_restart_changes_nothing(tmp_path: Path, log: WrittenLog, database: Database) -> None:
    await log.append(STREAM, [said("a"), said("b")])
    await log.keep_newest(STREAM, 1)
    before = await read(log)
    await database.close()

    again = await Database.open(tmp_path / "daemon.db")
    log = WrittenLog(again, clock=lambda: NOW_S)
    assert await read(log) == before
    assert [event.seq for event in await log.append(STREAM, [said("c")])] == [3]
    await again.close()
