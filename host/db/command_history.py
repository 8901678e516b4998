"""The ``command_runs`` table, as far as it is read and cleaned up: functions of a connection."""

import sqlite3
from typing import Any, Final

from host.db.pages import first_page
from host.protocol.errors import SessionNotFound
from host.protocol.messages.commands import CommandRun, CommandRunsListResponse

_SELECT_RUNS: Final = (
    "SELECT command, request_id, started_at, ended_at, reason, exit_code, signal, truncated, output_preview "
    "FROM command_runs JOIN streams USING (stream_id) WHERE project_id = ?"
)
_NEWER_THAN_ALL: Final = 2**63 - 1


def get_run(connection: sqlite3.Connection, project_id: str, request_id: str) -> CommandRun:
    """Raises SessionNotFound for an unknown run, and for another project's."""
    row = connection.execute(f"{_SELECT_RUNS} AND request_id = ?", (project_id, request_id)).fetchone()
    if row is None:
        raise _no_run()
    return _run(row)


def list_runs(
    connection: sqlite3.Connection, project_id: str, *, limit: int, before: str | None
) -> CommandRunsListResponse:
    """See ``CommandRuns.list``."""
    newest = _NEWER_THAN_ALL if before is None else _place_of(connection, project_id, before)
    rows = connection.execute(
        f"{_SELECT_RUNS} AND stream_id < ? ORDER BY stream_id DESC LIMIT ?", (project_id, newest, limit + 1)
    )
    # The command is what can be large.
    page, more = first_page(rows, limit, sized_column=0)
    return CommandRunsListResponse(runs=[_run(row) for row in page], more=more)


def runs_to_delete(connection: sqlite3.Connection, *, oldest_kept: str, keep_max: int) -> list[int]:
    """The streams' ids of what ended before that time, of the oldest of too many, and of projects that are gone."""
    rows = connection.execute(
        "SELECT stream_id FROM command_runs WHERE ended_at < :oldest_kept UNION "
        "SELECT stream_id FROM (SELECT stream_id FROM command_runs WHERE ended_at IS NOT NULL "
        "ORDER BY stream_id DESC LIMIT -1 OFFSET :keep_max) UNION "
        "SELECT stream_id FROM command_runs JOIN streams USING (stream_id) "
        "WHERE ended_at IS NOT NULL AND project_id NOT IN (SELECT project_id FROM projects)",
        {"oldest_kept": oldest_kept, "keep_max": keep_max},
    )
    return [stream_id for (stream_id,) in rows]


def _place_of(connection: sqlite3.Connection, project_id: str, request_id: str) -> int:
    """The id of a run's stream: of two runs the later one has the higher."""
    row: tuple[int] | None = connection.execute(
        "SELECT stream_id FROM command_runs JOIN streams USING (stream_id) WHERE project_id = ? AND request_id = ?",
        (project_id, request_id),
    ).fetchone()
    if row is None:
        raise _no_run()
    return row[0]


def _run(row: tuple[Any, ...]) -> CommandRun:
    command, request_id, started_at, ended_at, reason, exit_code, signal, truncated, output_preview = row
    return CommandRun(
        request_id=request_id,
        command=command,
        started_at=started_at,
        ended_at=ended_at,
        reason=reason,
        exit_code=exit_code,
        signal=signal,
        truncated=bool(truncated),
        output_preview=output_preview,
    )


def _no_run() -> SessionNotFound:
    return SessionNotFound("This project has no run of such an id. It may have been deleted because of its age.")
