"""Commands' runs in the database, from their start to their end and until they are forgotten."""

import sqlite3
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import partial
from typing import Literal, Protocol

from msgspec import UNSET, UnsetType

from host.core.clock import Clock, milliseconds_between, rfc3339
from host.db.command_history import get_run, list_runs, runs_to_delete
from host.db.database import Database
from host.db.event_log import NewEvent, append, delete_stream, last_event_at, open_stream
from host.protocol.errors import InvalidRequest
from host.protocol.limits import KEPT_RUNS_MAX, KEPT_RUNS_S, OUTPUT_PREVIEW_CHARS
from host.protocol.messages.commands import CommandExit, CommandOutput, CommandRun, CommandRunsListResponse, ExitReason


class OutputChunk(Protocol):
    """Text that a run wrote."""

    @property
    def channel(self) -> Literal["stdout", "stderr"]: ...

    @property
    def text(self) -> str: ...


@dataclass(frozen=True)
class RunEnd:
    """How a run ended, in the words of its ``command_exit``."""

    reason: ExitReason
    exit_code: int | None
    signal: str | None
    duration_ms: int
    truncated: bool = False
    output_tail: str | UnsetType = UNSET


class CommandRuns:
    """Runs by their requests' ids. Every change is durable when its call returns.

    A run's events are logged in its stream ``command:<requestId>``: its output, then one
    ``command_exit``, which is its end, in the same transaction as the row that says so. What has
    ended is kept for ``keep_s`` seconds, and the last ``keep_max`` of it: ``purge`` sees to that.
    """

    def __init__(
        self,
        database: Database,
        *,
        clock: Clock = time.time,
        keep_s: float = KEPT_RUNS_S,
        keep_max: int = KEPT_RUNS_MAX,
    ) -> None:
        self._database = database
        self._clock = clock
        self._keep_s = keep_s
        self._keep_max = keep_max

    async def start(self, user_id: str, project_id: str, request_id: str, command: str) -> None:
        """A run begins, with an empty stream. Raises InvalidRequest if a run of that id is kept."""
        await self._database.write(
            lambda connection: _start(connection, user_id, project_id, request_id, command, self._now())
        )

    async def append(self, request_id: str, chunks: Sequence[OutputChunk]) -> Sequence[CommandOutput]:
        """Log output, all of it or none; returns the events to send. Raises LookupError for what does not run."""
        return await self._database.write(lambda connection: _append(connection, request_id, chunks, self._now()))

    async def finish(self, request_id: str, end: RunEnd) -> CommandExit:
        """The run has ended; returns the event to send. Raises LookupError for what does not run."""
        return await self._database.write(lambda connection: _finish(connection, request_id, end, self._now()))

    async def discard(self, request_id: str) -> None:
        """Forget a run that came to nothing, with its stream. Raises LookupError for what does not run."""
        await self._database.write(lambda connection: _discard(connection, request_id))

    async def interrupt_unfinished(self) -> int:
        """At start, before any ``start``: what ran when the daemon ended gets its end. Returns how many those are.

        Their ``duration_ms`` is up to their last sign of life: output, if there was any.
        """
        return await self._database.write(lambda connection: _interrupt_unfinished(connection, self._now()))

    async def get(self, project_id: str, request_id: str) -> CommandRun:
        """Raises SessionNotFound for an unknown run, and for another project's."""
        return await self._database.read(lambda connection: get_run(connection, project_id, request_id))

    async def list(self, project_id: str, *, limit: int, before: str | None) -> CommandRunsListResponse:
        """A page of a project's runs, the last one started first; ``before``: those started before that run.

        A page ends at its limit or 4 MB. Raises SessionNotFound if ``before`` is no run of the project.
        """
        return await self._database.read(
            lambda connection: list_runs(connection, project_id, limit=limit, before=before)
        )

    async def purge(self) -> None:
        """Delete, with their streams, what ended too long ago, the oldest of too many, and what removed projects left.

        What runs is never deleted.
        """
        oldest_kept = rfc3339(self._clock() - self._keep_s)
        stream_ids = await self._database.read(
            lambda connection: runs_to_delete(connection, oldest_kept=oldest_kept, keep_max=self._keep_max)
        )
        # One by one: a run can have many events, and others write in between.
        for stream_id in stream_ids:
            await self._database.write(partial(delete_stream, stream_id=stream_id))

    def _now(self) -> str:
        return rfc3339(self._clock())


def _start(
    connection: sqlite3.Connection, user_id: str, project_id: str, request_id: str, command: str, now: str
) -> None:
    if connection.execute("SELECT 1 FROM command_runs WHERE request_id = ?", (request_id,)).fetchone():
        # The request log knows its user's own ids; this one is of somebody who was signed in before.
        raise InvalidRequest.of_field("requestId", "It was used for another request. Choose a new one.")
    connection.execute(
        "INSERT INTO command_runs (stream_id, request_id, user_id, command, started_at) VALUES (?, ?, ?, ?, ?)",
        (open_stream(connection, f"command:{request_id}", project_id), request_id, user_id, command, now),
    )


def _append(
    connection: sqlite3.Connection, request_id: str, chunks: Sequence[OutputChunk], now: str
) -> list[CommandOutput]:
    stream_id, preview = _running(connection, request_id)
    room_chars = OUTPUT_PREVIEW_CHARS - len(preview)
    if room_chars > 0:
        preview += "".join(chunk.text[:room_chars] for chunk in chunks)[:room_chars]
        connection.execute("UPDATE command_runs SET output_preview = ? WHERE stream_id = ?", (preview, stream_id))
    return append(connection, stream_id, [_output_event(request_id, chunk) for chunk in chunks], now)


def _output_event(request_id: str, chunk: OutputChunk) -> NewEvent[CommandOutput]:
    text = {f"{chunk.channel}_chunk": chunk.text}
    return NewEvent(CommandOutput.wire_type, lambda seq, _: CommandOutput(request_id=request_id, seq=seq, **text))


def _finish(connection: sqlite3.Connection, request_id: str, end: RunEnd, now: str) -> CommandExit:
    stream_id, _ = _running(connection, request_id)
    connection.execute(
        "UPDATE command_runs SET ended_at = ?, reason = ?, exit_code = ?, signal = ?, truncated = ? "
        "WHERE stream_id = ?",
        (now, end.reason, end.exit_code, end.signal, end.truncated, stream_id),
    )
    exit_event = NewEvent(
        CommandExit.wire_type, lambda seq, _: CommandExit(request_id=request_id, seq=seq, **asdict(end))
    )
    return append(connection, stream_id, [exit_event], now)[0]


def _discard(connection: sqlite3.Connection, request_id: str) -> None:
    stream_id, _ = _running(connection, request_id)
    delete_stream(connection, stream_id)


def _running(connection: sqlite3.Connection, request_id: str) -> tuple[int, str]:
    """The stream's id and the preview of a run that has not ended."""
    row: tuple[int, str] | None = connection.execute(
        "SELECT stream_id, output_preview FROM command_runs WHERE request_id = ? AND ended_at IS NULL", (request_id,)
    ).fetchone()
    if row is None:
        raise LookupError("A command's run was used that does not run.")
    return row


def _interrupt_unfinished(connection: sqlite3.Connection, now: str) -> int:
    unfinished = connection.execute(
        "SELECT stream_id, request_id, started_at FROM command_runs WHERE ended_at IS NULL"
    ).fetchall()
    for stream_id, request_id, started_at in unfinished:
        lived_ms = milliseconds_between(started_at, last_event_at(connection, stream_id) or started_at)
        _finish(connection, request_id, RunEnd("interrupted", None, None, duration_ms=lived_ms), now)
    return len(unfinished)
