"""events_read, from a payload to an answer."""

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from host.core.clock import rfc3339
from host.core.requests import RequestContext, RouteTable
from host.db.command_runs import CommandRuns, RunEnd
from host.db.database import Database
from host.db.event_log import EventLog, NewEvent
from host.events.handlers import EventHandlers, StreamSource
from host.protocol.errors import InvalidRequest, ProjectNotFound, SessionNotFound
from host.protocol.messages.base import encode_payload, parse_request
from host.protocol.messages.commands import CommandOutput
from tests.support.command_runs import Chunk
from tests.support.event_log import WrittenLog

NOW_S = 1_760_000_000.0


class TwoProjects:
    async def root_of(self, project_id: str) -> Path:
        if project_id not in ("proj_1", "proj_2"):
            raise ProjectNotFound
        return Path("/gone")


class Phone:
    """Sends payloads and reads answers as JSON."""

    def __init__(self, log: EventLog, *sources: StreamSource) -> None:
        self._table = RouteTable()
        EventHandlers(log, TwoProjects(), sources).register(self._table)

    async def ask(self, *, project_id: str = "proj_1", **payload: Any) -> dict[str, Any]:
        route = self._table.find("events_read")
        assert route is not None
        request = parse_request(route.kind.request, json.dumps(payload).encode())
        response = await route.handler(request, RequestContext(project_id, "r-1", "user-1"))
        answer: dict[str, Any] = json.loads(bytes(encode_payload(response)))
        return answer


@pytest.fixture
async def database(tmp_path: Path) -> AsyncIterator[Database]:
    opened = await Database.open(tmp_path / "daemon.db")
    yield opened
    await opened.close()


@pytest.fixture
async def phone(database: Database) -> Phone:
    """Beside it a command has run that wrote 600 times."""
    runs = CommandRuns(database, clock=lambda: NOW_S)
    await runs.start("user-1", "proj_1", "r", "make")
    await runs.append("r", [Chunk(f"{number}") for number in range(600)])
    await runs.finish("r", RunEnd("exited", 0, None, duration_ms=5))
    return Phone(EventLog(database))


async def test_a_runs_events_are_read_with_the_live_payloads(phone: Phone) -> None:
    answer = await phone.ask(stream="command:r", afterSeq=599, limit=10)
    at = rfc3339(NOW_S)
    exit_payload = {
        "requestId": "r",
        "seq": 601,
        "reason": "exited",
        "exitCode": 0,
        "signal": None,
        "durationMs": 5,
        "truncated": False,
    }
    assert answer == {
        "stream": "command:r",
        "events": [
            {
                "seq": 600,
                "at": at,
                "type": "command_output",
                "payload": {"requestId": "r", "seq": 600, "stdoutChunk": "599"},
            },
            {"seq": 601, "at": at, "type": "command_exit", "payload": exit_payload},
        ],
        "lastSeq": 601,
        "floorSeq": 1,
        "more": False,
    }


async def test_a_client_reads_from_the_start_500_at_a_time_unless_it_says_otherwise(phone: Phone) -> None:
    answer = await phone.ask(stream="command:r")
    assert ([event["seq"] for event in answer["events"]], answer["more"]) == (list(range(1, 501)), True)
    answer = await phone.ask(stream="command:r", limit=1000)
    assert (len(answer["events"]), answer["more"]) == (601, False)


@pytest.mark.parametrize(
    ("project_id", "stream"), [("proj_2", "command:r"), ("proj_1", "command:s"), ("proj_1", "r"), ("proj_1", "agent:r")]
)
async def test_streams_that_are_not_the_projects_are_not_found(phone: Phone, project_id: str, stream: str) -> None:
    with pytest.raises(SessionNotFound):
        await phone.ask(project_id=project_id, stream=stream)


async def test_a_project_that_is_unknown_is_told_first(phone: Phone) -> None:
    with pytest.raises(ProjectNotFound):
        await phone.ask(project_id="proj_3", stream="command:unknown")


@pytest.mark.parametrize(
    ("payload", "field"),
    [
        ({}, "stream"),
        ({"stream": ""}, "stream"),
        ({"stream": "s", "afterSeq": -1}, "afterSeq"),
        ({"stream": "s", "afterSeq": 2**64}, "afterSeq"),
        ({"stream": "s", "limit": 0}, "limit"),
        ({"stream": "s", "limit": 1001}, "limit"),
        ({"stream": "s", "limit": "5"}, "limit"),
    ],
)
async def test_wrong_payloads_are_refused(phone: Phone, payload: dict[str, Any], field: str) -> None:
    with pytest.raises(InvalidRequest) as raised:
        await phone.ask(**payload)
    assert [error["field"] for error in raised.value.details["errors"]] == [field]


class Latecomer:
    """A source that knows of one more event each time it is asked."""

    def __init__(self, log: WrittenLog) -> None:
        self._log = log
        self.asked: list[tuple[str, str]] = []

    async def prepare(self, stream: str, project_id: str) -> None:
        self.asked.append((stream, project_id))
        await self._log.open_stream(stream, project_id)
        event = CommandOutput(request_id="r", seq=1, stdout_chunk="late")
        await self._log.append(stream, [NewEvent("command_output", lambda seq, _: event)])


async def test_what_a_source_knows_is_in_the_log_before_it_is_read(database: Database) -> None:
    log = WrittenLog(database)
    source = Latecomer(log)
    phone = Phone(log, source)
    page = await phone.ask(stream="agent:1")
    assert [event["seq"] for event in page["events"]] == [1]
    assert page["lastSeq"] == 1
    assert source.asked == [("agent:1", "proj_1")]
    with pytest.raises(ProjectNotFound):
        await phone.ask(project_id="proj_3", stream="agent:1")
    assert len(source.asked) == 1
