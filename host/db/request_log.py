"""What makes retries safe: each request that changes something is written down before any effect."""

import hashlib
import sqlite3
import time
from collections.abc import Callable
from dataclasses import astuple, dataclass
from typing import Final, TypeVar

import msgspec

from host.core.clock import Clock
from host.db.database import Database
from host.protocol.errors import InvalidRequest, OutcomeUnknown
from host.protocol.limits import REMEMBERED_REQUESTS_MAX, REMEMBERED_REQUESTS_S

T = TypeVar("T")

_FINISHED_PER_PURGE: Final = 500
# A command's id is taken as long as its run is kept.
_PURGE: Final = """
    DELETE FROM requests WHERE rowid IN (
        SELECT rowid FROM requests WHERE completed_at_s < :oldest_kept_s
        UNION
        SELECT rowid FROM (
            SELECT rowid FROM requests WHERE completed_at_s IS NOT NULL
            ORDER BY completed_at_s DESC LIMIT -1 OFFSET :keep_max
        )
    ) AND NOT EXISTS (
        SELECT 1 FROM command_runs
        WHERE command_runs.request_id = requests.request_id AND command_runs.user_id = requests.user_id
    )
"""


@dataclass(frozen=True)
class Started:
    """The request is new: it is the caller's to run, and to finish or to forget."""


@dataclass(frozen=True)
class Running:
    """The same request was begun and has not ended: join it."""


@dataclass(frozen=True)
class Finished:
    """The same request has ended; ``answer`` is what was stored then."""

    answer: bytes


Begun = Started | Running | Finished


@dataclass(frozen=True)
class UnfinishedRequest:
    """What was under way when the daemon ended. ``path`` is the payload's, None if it has none."""

    user_id: str
    request_id: str
    wire_type: str
    session_id: str
    path: str | None


def body_hash(wire_type: str, session_id: str | None, payload: bytes) -> bytes:
    """32 bytes that are equal for requests that ask for the same; members' order and white space don't matter.

    Raises InvalidRequest for a payload that is no JSON object, and nothing else, whatever
    the bytes. Of a member given twice the last counts, as when the payload is read.
    """
    try:
        content = msgspec.json.decode(payload)
        canonical = msgspec.json.encode((wire_type, session_id, content), order="deterministic")
    except (ValueError, RecursionError) as exc:
        raise _no_object() from exc
    if not isinstance(content, dict):
        raise _no_object()
    return hashlib.sha256(canonical).digest()


class RequestLog:
    """Requests by (user, requestId), in the database. Every change is durable when its call returns.

    What has ended is kept for ``keep_s`` seconds, and the last ``keep_max`` of it: ``purge``
    sees to that, and every ``finished_per_purge``-th ``finish``. Besides, a command's request
    is kept as long as its run.
    """

    def __init__(
        self,
        database: Database,
        *,
        clock: Clock = time.time,
        keep_s: float = REMEMBERED_REQUESTS_S,
        keep_max: int = REMEMBERED_REQUESTS_MAX,
        finished_per_purge: int = _FINISHED_PER_PURGE,
    ) -> None:
        self._database = database
        self._clock = clock
        self._keep_s = keep_s
        self._keep_max = keep_max
        self._finished_per_purge = finished_per_purge
        self._finished = 0

    async def begin(
        self,
        user_id: str,
        request_id: str,
        body_hash: bytes,
        wire_type: str = "",
        session_id: str = "",
        path: str | None = None,
    ) -> Begun:
        """Take the request on, or say what became of it. Of concurrent calls exactly one gets ``Started``.

        What comes after the hash is kept for ``unfinished``. Raises InvalidRequest if the id
        was used for something else, and OutcomeUnknown if the daemon ended while it worked
        on the request.
        """
        request = UnfinishedRequest(user_id, request_id, wire_type, session_id, path)
        return await self._database.write(lambda connection: _begin(connection, request, body_hash, self._clock()))

    async def finish(self, user_id: str, request_id: str, answer: bytes) -> None:
        """Remember the answer of a running request. Raises LookupError if none runs under that id."""
        await self.finish_with(user_id, request_id, lambda _: (answer, None))

    async def finish_with(
        self, user_id: str, request_id: str, change: Callable[[sqlite3.Connection], tuple[bytes, T]]
    ) -> T:
        """Remember the answer that ``change`` returns first, together with all that it changes; returns the second.

        What ``change`` raises is raised here, and the request runs on. Raises LookupError if none runs under that id.
        """
        self._finished += 1
        purges = self._finished % self._finished_per_purge == 0

        def job(connection: sqlite3.Connection) -> T:
            answer, result = change(connection)
            _finish(connection, user_id, request_id, answer, self._clock())
            if purges:
                self._purge(connection)
            return result

        return await self._database.write(job)

    async def forget(self, user_id: str, request_id: str) -> None:
        """A running request was refused before any effect: its id is free again. An ended one stays."""
        await self._database.write(
            lambda connection: connection.execute(
                "DELETE FROM requests WHERE user_id = ? AND request_id = ? AND state = 'running'", (user_id, request_id)
            )
        )

    async def unfinished(self) -> list[UnfinishedRequest]:
        """At start, before ``recover``: what was running when the daemon ended, to clean up after."""
        return await self._database.read(
            lambda connection: [
                UnfinishedRequest(*row)
                for row in connection.execute(
                    "SELECT user_id, request_id, wire_type, session_id, path FROM requests WHERE state = 'running'"
                )
            ]
        )

    async def recover(self) -> int:
        """At start, before any ``begin``: what was running when the daemon ended has an unknown outcome.

        Returns how many those are.
        """
        return await self._database.write(
            lambda connection: (
                connection.execute(
                    "UPDATE requests SET state = 'unknown', completed_at_s = ? WHERE state = 'running'",
                    (self._clock(),),
                ).rowcount
            )
        )

    async def purge(self) -> None:
        """Drop what ended too long ago, and the oldest of too many. What runs is never dropped."""
        await self._database.write(self._purge)

    def _purge(self, connection: sqlite3.Connection) -> None:
        connection.execute(_PURGE, {"oldest_kept_s": self._clock() - self._keep_s, "keep_max": self._keep_max})


def _begin(connection: sqlite3.Connection, request: UnfinishedRequest, body_hash: bytes, now_s: float) -> Begun:
    row = connection.execute(
        "SELECT hash, state, answer FROM requests WHERE user_id = ? AND request_id = ?",
        (request.user_id, request.request_id),
    ).fetchone()
    if row is None:
        connection.execute(
            "INSERT INTO requests (user_id, request_id, wire_type, session_id, path, hash, state, created_at_s) "
            "VALUES (?, ?, ?, ?, ?, ?, 'running', ?)",
            (*astuple(request), body_hash, now_s),
        )
        return Started()
    known_hash, state, answer = row
    if known_hash != body_hash:
        raise InvalidRequest.of_field("requestId", "It was used for another request. Choose a new one.")
    if state == "unknown":
        raise OutcomeUnknown
    return Finished(answer) if state == "done" else Running()


def _finish(connection: sqlite3.Connection, user_id: str, request_id: str, answer: bytes, now_s: float) -> None:
    changed = connection.execute(
        "UPDATE requests SET state = 'done', answer = ?, completed_at_s = ? "
        "WHERE user_id = ? AND request_id = ? AND state = 'running'",
        (answer, now_s, user_id, request_id),
    ).rowcount
    if changed != 1:
        raise LookupError("A request was finished that is not running.")


def _no_object() -> InvalidRequest:
    return InvalidRequest.of_field("payload", "It is no JSON object, or it is nested too deeply.")
