"""The ``projects`` and ``fs_state`` tables: functions of a connection, to be run as database jobs."""

import os
import re
import sqlite3
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

SELECT_PROJECTS: Final = "SELECT project_id, name, path, created_at, last_opened_at FROM projects"
_MAX_TEXT_CHARS: Final = 255
_PROJECT_ID: Final = re.compile(r"proj_[0-9a-z]{16}")


@dataclass(frozen=True)
class Project:
    """A registered directory. ``path`` is its real path; times are RFC 3339 UTC."""

    project_id: str
    name: str
    path: Path
    created_at: str
    last_opened_at: str


def all_projects(connection: sqlite3.Connection) -> list[Project]:
    """Every project, oldest first."""
    return [project_from_row(row) for row in connection.execute(f"{SELECT_PROJECTS} ORDER BY created_at, project_id")]


def is_registered(connection: sqlite3.Connection, project_id: str) -> bool:
    return connection.execute("SELECT 1 FROM projects WHERE project_id = ?", (project_id,)).fetchone() is not None


def insert_project(connection: sqlite3.Connection, project: Project) -> None:
    """Raises sqlite3.IntegrityError if the id or the path is taken."""
    connection.execute(
        "INSERT INTO projects (project_id, name, path, created_at, last_opened_at) VALUES (?, ?, ?, ?, ?)",
        (project.project_id, project.name, _stored_path(project.path), project.created_at, project.last_opened_at),
    )


def delete_project(connection: sqlite3.Connection, project_id: str) -> None:
    """Its change numbers go too: an id is never used again."""
    connection.execute("DELETE FROM projects WHERE project_id = ?", (project_id,))


def set_last_opened(connection: sqlite3.Connection, project_id: str, at: str) -> None:
    connection.execute("UPDATE projects SET last_opened_at = ? WHERE project_id = ?", (at, project_id))


def all_fs_seqs(connection: sqlite3.Connection) -> dict[str, int]:
    """For each project that was watched the highest change number that may have been used."""
    return dict(connection.execute("SELECT project_id, last_seq FROM fs_state"))


def set_last_fs_seq(connection: sqlite3.Connection, project_id: str, seq: int) -> None:
    """Never lowers the number. Does nothing for a project that is not there any more."""
    connection.execute(
        "INSERT INTO fs_state (project_id, last_seq) SELECT project_id, ? FROM projects WHERE project_id = ? "
        "ON CONFLICT (project_id) DO UPDATE SET last_seq = max(last_seq, excluded.last_seq)",
        (seq, project_id),
    )


def project_from_row(row: tuple[Any, ...]) -> Project:
    """Raises ValueError for what cannot have been written by us, so that a damaged file yields nothing odd."""
    project_id, name, path, *times = row
    if not all(_is_short_text(text) for text in (project_id, name, *times)):
        raise ValueError("A project's row holds no text where text belongs.")
    if not _PROJECT_ID.fullmatch(project_id) or not isinstance(path, str | bytes) or b"\0" in _raw_path(path):
        raise ValueError("A project's row holds no project id or no path.")
    if not os.path.isabs(path):
        raise ValueError("A project's path is not absolute.")
    return Project(project_id, name, Path(os.fsdecode(_raw_path(path))), *times)


def _is_short_text(value: object) -> bool:
    return isinstance(value, str) and 0 < len(value) <= _MAX_TEXT_CHARS and value.isprintable()


def _raw_path(stored: str | bytes) -> bytes:
    # Not os.fsencode: what was stored is UTF-8 also where this process's locale is not.
    return stored if isinstance(stored, bytes) else stored.encode("utf-8", "surrogateescape")


def _stored_path(path: Path) -> str | bytes:
    # SQLite's text is UTF-8; a file name may be any bytes.
    raw = os.fsencode(path)
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError:
        return raw
