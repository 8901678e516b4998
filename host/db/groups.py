"""Group commit: many jobs, one transaction, one wait for the disk."""

import contextlib
import sqlite3
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from host.db.errors import explain


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a job returned, or raised."""

    value: Any = None
    error: BaseException | None = None


Job = Callable[[sqlite3.Connection], Any]


def run_group(connection: sqlite3.Connection, jobs: Sequence[Job], path: Path) -> list[Outcome]:
    """Run the jobs in order in one transaction; the outcomes are durable when this returns.

    A job that raises undoes only itself. If the transaction as a whole fails, nothing of
    it is kept and every job gets that error. Never raises.
    """
    try:
        connection.execute("BEGIN IMMEDIATE")
        outcomes = [_run(connection, job, path) for job in jobs]
        connection.execute("COMMIT")
    except Exception as exc:  # noqa: BLE001 - whatever it is, those who wait must hear of it
        _undo(connection)
        return [Outcome(error=explain(exc, path)) for _ in jobs]
    return outcomes


def read_only(job: Job) -> Job:
    """The job, with SQLite refusing every change it tries."""

    def run(connection: sqlite3.Connection) -> Any:
        connection.execute("PRAGMA query_only = 1")
        try:
            return job(connection)
        finally:
            connection.execute("PRAGMA query_only = 0")

    return run


def _run(connection: sqlite3.Connection, job: Job, path: Path) -> Outcome:
    connection.execute("SAVEPOINT job")
    try:
        value = job(connection)
    except BaseException as exc:
        # A full disk or a failing one makes SQLite undo the whole transaction, the earlier jobs too.
        if isinstance(exc, sqlite3.Error) and not connection.in_transaction:
            raise
        connection.execute("ROLLBACK TO job")
        connection.execute("RELEASE job")
        return Outcome(error=explain(exc, path))
    connection.execute("RELEASE job")
    return Outcome(value)


def _undo(connection: sqlite3.Connection) -> None:
    # If even this fails, the next group's BEGIN does, and this is tried again.
    with contextlib.suppress(sqlite3.Error):
        connection.rollback()
