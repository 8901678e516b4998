"""The request log against a model of it that a reader can take in at once."""

import asyncio
import tempfile
from dataclasses import dataclass
from pathlib import Path

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from host.db.database import Database
from host.db.request_log import Finished, RequestLog, Running, Started
from host.protocol.errors import InvalidRequest, OutcomeUnknown

KEEP_S = 20.0
KEEP_MAX = 3

Key = tuple[str, str]
keys = st.tuples(st.sampled_from(["ann", "bob"]), st.sampled_from(["1", "2", "3", "4"]))
hashes = st.sampled_from([b"h" * 32, b"i" * 32])


@dataclass
class Entry:
    hash: bytes
    answer: bytes | None = None
    ended_at_s: float | None = None

    @property
    def begun_again(self) -> object:
        if self.ended_at_s is None:
            return Running()
        return OutcomeUnknown if self.answer is None else Finished(self.answer)


class RequestLogMachine(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.now_s = 0.0
        self.entries: dict[Key, Entry] = {}
        self.runner = asyncio.Runner()
        self.directory = tempfile.TemporaryDirectory()
        self.open()

    def open(self) -> None:
        self.database = self.runner.run(Database.open(Path(self.directory.name) / "daemon.db"))
        self.log = RequestLog(self.database, clock=lambda: self.now_s, keep_s=KEEP_S, keep_max=KEEP_MAX)

    def teardown(self) -> None:
        self.runner.run(self.database.close())
        self.runner.close()
        self.directory.cleanup()

    @rule(key=keys, hash=hashes)
    def begin(self, key: Key, hash: bytes) -> None:  # noqa: A002
        entry = self.entries.get(key)
        if entry is None:
            expected: object = Started()
            self.entries[key] = Entry(hash)
        else:
            expected = entry.begun_again if entry.hash == hash else InvalidRequest
        assert self.outcome_of_begin(key, hash) == expected

    def outcome_of_begin(self, key: Key, body: bytes) -> object:
        try:
            return self.runner.run(self.log.begin(*key, body))
        except (InvalidRequest, OutcomeUnknown) as exc:
            return type(exc)

    @rule(key=keys, answer=st.binary(max_size=3))
    def finish(self, key: Key, answer: bytes) -> None:
        entry = self.entries.get(key)
        if entry is not None and entry.ended_at_s is None:
            self.runner.run(self.log.finish(*key, answer))
            entry.answer, entry.ended_at_s = answer, self.now_s
            return
        try:
            self.runner.run(self.log.finish(*key, answer))
        except LookupError:
            return
        raise AssertionError("Something was finished that did not run.")

    @rule(key=keys)
    def forget(self, key: Key) -> None:
        self.runner.run(self.log.forget(*key))
        entry = self.entries.get(key)
        if entry is not None and entry.ended_at_s is None:
            del self.entries[key]

    @rule()
    def restart(self) -> None:
        self.runner.run(self.database.close())
        self.open()
        running = [entry for entry in self.entries.values() if entry.ended_at_s is None]
        assert self.runner.run(self.log.recover()) == len(running)
        for entry in running:
            entry.ended_at_s = self.now_s

    @rule()
    def purge(self) -> None:
        self.runner.run(self.log.purge())
        kept = {
            key: entry
            for key, entry in self.entries.items()
            if entry.ended_at_s is None or entry.ended_at_s >= self.now_s - KEEP_S
        }
        ended = sorted((entry.ended_at_s, key) for key, entry in kept.items() if entry.ended_at_s is not None)
        # Of those that ended in the same moment (a restart) any may go: take what the log kept.
        stored = self.stored()
        assert len(stored & {key for _, key in ended}) == min(len(ended), KEEP_MAX)
        oldest_kept_s = ended[-KEEP_MAX:][0][0] if ended else 0.0
        assert all((at_s < oldest_kept_s) <= (key not in stored) for at_s, key in ended)
        self.entries = {key: entry for key, entry in kept.items() if entry.ended_at_s is None or key in stored}

    @rule(seconds=st.sampled_from([1.0, 5.0, 21.0]))
    def wait(self, seconds: float) -> None:
        self.now_s += seconds

    def stored(self) -> set[Key]:
        return set(
            self.runner.run(
                self.database.read(
                    lambda connection: connection.execute("SELECT user_id, request_id FROM requests").fetchall()
                )
            )
        )

    @invariant()
    def nothing_is_lost_and_nothing_is_made_up(self) -> None:
        assert self.stored() == set(self.entries)


TestRequestLog = RequestLogMachine.TestCase
TestRequestLog.settings = settings(max_examples=25, stateful_step_count=25)
