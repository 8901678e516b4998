"""The event log against a model of it that a reader can take in at once."""

import asyncio
import json
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from host.db.database import Database
from host.db.event_log import NewEvent
from host.protocol.errors import SessionNotFound
from host.protocol.messages.base import Event
from tests.support.event_log import WrittenLog

pytestmark = pytest.mark.slow

streams = st.sampled_from(["command:1", "command:2", "agent:1"])
projects = st.sampled_from(["proj_1", "proj_2"])


class Numbered(Event):
    wire_type: ClassVar[str] = "numbered"
    seq: int
    value: int


def numbered(value: int) -> NewEvent[Numbered]:
    return NewEvent("numbered", lambda seq, _: Numbered(seq=seq, value=value))


@dataclass
class Stream:
    """Every value it ever got; the first ``trimmed`` of them are gone."""

    project_id: str
    values: list[int] = field(default_factory=list)
    trimmed: int = 0


class EventLogMachine(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.streams: dict[str, Stream] = {}
        self.runner = asyncio.Runner()
        self.directory = tempfile.TemporaryDirectory()
        self.open()

    def open(self) -> None:
        self.database = self.runner.run(Database.open(Path(self.directory.name) / "daemon.db"))
        self.log = WrittenLog(self.database)

    def teardown(self) -> None:
        self.runner.run(self.database.close())
        self.runner.close()
        self.directory.cleanup()

    @rule(name=streams, project_id=projects)
    def open_stream(self, name: str, project_id: str) -> None:
        stream = self.streams.setdefault(name, Stream(project_id))
        try:
            self.runner.run(self.log.open_stream(name, project_id))
            assert stream.project_id == project_id
        except SessionNotFound:
            assert stream.project_id != project_id

    @rule(name=streams, values=st.lists(st.integers(0, 9), max_size=5))
    def append(self, name: str, values: list[int]) -> None:
        if (stream := self.streams.get(name)) is None:
            return
        events = self.runner.run(self.log.append(name, [numbered(value) for value in values]))
        stream.values += values
        assert [event.seq for event in events] == list(
            range(len(stream.values) + 1 - len(values), len(stream.values) + 1)
        )

    @rule(name=streams, count=st.integers(0, 15))
    def keep_newest(self, name: str, count: int) -> None:
        if (stream := self.streams.get(name)) is None:
            return
        self.runner.run(self.log.keep_newest(name, count))
        stream.trimmed = max(stream.trimmed, len(stream.values) - count)

    @rule(name=streams)
    def delete(self, name: str) -> None:
        if self.streams.pop(name, None) is not None:
            self.runner.run(self.log.delete_stream(name))

    @rule(name=streams, project_id=projects, after_seq=st.integers(0, 15), limit=st.integers(1, 4))
    def read(self, name: str, project_id: str, after_seq: int, limit: int) -> None:
        stream = self.streams.get(name)
        try:
            page = self.runner.run(self.log.read(name, project_id, after_seq=after_seq, limit=limit))
        except SessionNotFound:
            assert stream is None or stream.project_id != project_id
            return
        assert stream is not None
        assert stream.project_id == project_id
        start = max(after_seq, stream.trimmed)
        expected = stream.values[start : start + limit]
        payloads = [json.loads(bytes(event.payload)) for event in page.events]
        assert payloads == [{"seq": seq, "value": value} for seq, value in enumerate(expected, start + 1)]
        assert [event.seq for event in page.events] == [payload["seq"] for payload in payloads]
        assert (page.last_seq, page.floor_seq) == (len(stream.values), stream.trimmed + 1)
        assert page.more == (start + limit < len(stream.values))

    @rule()
    def restart(self) -> None:
        self.runner.run(self.database.close())
        self.open()

    @invariant()
    def nothing_is_lost_and_nothing_is_left(self) -> None:
        stored = self.runner.run(
            self.database.read(
                lambda connection: connection.execute(
                    "SELECT stream, count(seq) FROM streams LEFT JOIN events USING (stream_id) GROUP BY stream"
                ).fetchall()
            )
        )
        assert dict(stored) == {name: len(stream.values) - stream.trimmed for name, stream in self.streams.items()}


TestEventLog = EventLogMachine.TestCase
TestEventLog.settings = settings(max_examples=25, stateful_step_count=25)
