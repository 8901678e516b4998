"""A damaged database is set aside, never deleted, and what can still be read of its projects is kept."""

import contextlib
import itertools
import os
import sqlite3
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from pathlib import Path

from host.db.projects import SELECT_PROJECTS, Project, insert_project, project_from_row, set_last_fs_seq
from host.protocol.limits import MAX_PROJECTS


def file_set(path: Path) -> tuple[Path, Path, Path]:
    """The database, its write-ahead log and its shared memory."""
    return path, path.with_name(f"{path.name}-wal"), path.with_name(f"{path.name}-shm")


def set_aside(path: Path, now_s: float) -> Path:
    """Move the database and its companions to ``<name>.corrupt-<UTC time>``; returns that path. Raises OSError."""
    aside = _free_name(path, f"corrupt-{datetime.fromtimestamp(now_s, UTC):%Y%m%dT%H%M%SZ}")
    for old, new in zip(file_set(path), file_set(aside), strict=True):
        if old.exists():
            os.rename(old, new)
    return aside


def salvage_projects(aside: Path) -> list[Project]:
    """The projects that can still be read, maybe none. Never raises for what the file holds."""
    projects: list[Project] = []
    if aside.stat().st_size == 0:
        # There is nothing to read, and opening it would make SQLite delete its journal.
        return projects
    with contextlib.suppress(sqlite3.Error, ValueError):
        # Row by row: a damaged page ends the reading, and what was read before it stays.
        projects.extend(_readable(aside))
    return projects


def restore_projects(connection: sqlite3.Connection, projects: Iterable[Project], *, now_s: float) -> int:
    """Insert the projects; returns how many were.

    Their change numbers go on from the epoch's milliseconds: higher than any that a
    batch every 250 ms can have reached, so that none is used twice.
    """
    restored = 0
    connection.execute("BEGIN IMMEDIATE")
    for project in projects:
        with contextlib.suppress(sqlite3.IntegrityError):
            insert_project(connection, project)
            set_last_fs_seq(connection, project.project_id, int(now_s * 1000))
            restored += 1
    connection.execute("COMMIT")
    return restored


def _readable(aside: Path) -> Iterator[Project]:
    with contextlib.closing(sqlite3.connect(f"{aside.absolute().as_uri()}?mode=ro", uri=True)) as connection:
        connection.text_factory = _lenient
        for row in connection.execute(f"{SELECT_PROJECTS} LIMIT ?", (MAX_PROJECTS,)):
            with contextlib.suppress(ValueError):
                yield project_from_row(row)


def _lenient(text: bytes) -> str:
    return text.decode("utf-8", "surrogateescape")


def _free_name(path: Path, suffix: str) -> Path:
    first = path.with_name(f"{path.name}.{suffix}")
    later = (first.with_name(f"{first.name}-{count}") for count in itertools.count(2))
    return next(candidate for candidate in itertools.chain((first,), later) if not candidate.exists())
