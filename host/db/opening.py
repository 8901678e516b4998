"""Opening the database file: private, sound, of the newest schema."""

import contextlib
import sqlite3
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from host.core.clock import Clock
from host.db.errors import DatabaseDamaged, DatabaseNewer, explain, explained
from host.db.migrations import Migration, migrate, schema_version
from host.db.projects import all_projects
from host.db.quarantine import file_set, restore_projects, salvage_projects, set_aside

# "PoCo"; schema/0001_start.sql writes it.
APPLICATION_ID: Final = 0x506F436F
_WAL_LIMIT_BYTES: Final = 16 * 1024 * 1024
_COLUMNS: Final = """
    SELECT tables.name, columns.name FROM sqlite_master AS tables JOIN pragma_table_info(tables.name) AS columns
    WHERE tables.type = 'table'
"""
# Besides the projects: what settling reads of what a crash cut off. Text that is no UTF-8 fails here.
_READ_AT_START: Final = (
    "SELECT * FROM meta",
    "SELECT * FROM fs_state",
    "SELECT * FROM requests WHERE state = 'running'",
    "SELECT * FROM command_runs JOIN streams USING (stream_id) WHERE ended_at IS NULL",
    "SELECT * FROM agent_turns JOIN agent_sessions USING (stream_id) WHERE state != 'done'",
)


@dataclass(frozen=True)
class Opened:
    """``warnings``: sentences about what had to be mended on the way."""

    connection: sqlite3.Connection
    warnings: tuple[str, ...]


def open_connection(path: Path, *, migrations: Sequence[Migration], clock: Clock, busy_timeout_s: float) -> Opened:
    """Open or make the database; what is not sound is set aside, with its projects carried over.

    The connection may be used by any one thread at a time. Raises a DatabaseError.
    """
    try:
        return Opened(_open_sound(path, migrations, busy_timeout_s), ())
    except DatabaseDamaged:
        with explained(path):
            aside = set_aside(path, clock())
    projects = salvage_projects(aside)
    connection = _open_sound(path, migrations, busy_timeout_s)
    with explained(path):
        restored = restore_projects(connection, projects, now_s=clock())
    return Opened(connection, (_warning(path, aside, restored),))


def _warning(path: Path, aside: Path, restored: int) -> str:
    return (
        f"The database {path.name} was damaged and has been set aside as {aside.name}. "
        f"{restored} project{' was' if restored == 1 else 's were'} carried over; "
        "check with: pocketcoder projects"
    )


def _open_sound(path: Path, migrations: Sequence[Migration], busy_timeout_s: float) -> sqlite3.Connection:
    """Raises DatabaseDamaged for whatever is no sound database of ours."""
    with explained(path), contextlib.ExitStack() as undo:
        _make_private(path)
        connection = sqlite3.connect(path, timeout=busy_timeout_s, isolation_level=None, check_same_thread=False)
        undo.callback(connection.close)
        with _what_fails_is_damage(path):
            _check(connection, path, known_version=len(migrations))
        _configure(connection)
        migrate(connection, path, migrations)
        # The daemon cannot start without them, so one that is unreadable must not come to light only then.
        with _what_fails_is_damage(path):
            _require_tables(connection, path, migrations)
            all_projects(connection)
            for query in _READ_AT_START:
                connection.execute(query).fetchall()
        undo.pop_all()
    return connection


def _make_private(path: Path) -> None:
    """The file exists and it and its companions are 0600, whatever the umask. SQLite copies the mode to new ones."""
    database, journal, _ = file_set(path)
    if _has_size(database, 0) and journal.exists() and not _has_size(journal, 0):
        # SQLite would take this for a new file and drop the journal, and what was in it, without a word.
        raise DatabaseDamaged(path)
    database.touch(0o600)
    for file in file_set(path):
        if file.exists():
            file.chmod(0o600)


def _has_size(path: Path, size_bytes: int) -> bool:
    return path.exists() and path.stat().st_size == size_bytes


def _check(connection: sqlite3.Connection, path: Path, *, known_version: int) -> None:
    is_new = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0] == 0
    version = schema_version(connection)
    is_ours = connection.execute("PRAGMA application_id").fetchone()[0] == APPLICATION_ID and version > 0
    if not (is_new or is_ours):
        raise DatabaseDamaged(path)
    if version > known_version:
        raise DatabaseNewer(path, version, known_version)
    if connection.execute("PRAGMA quick_check(1)").fetchone()[0] != "ok":
        raise DatabaseDamaged(path)


def _require_tables(connection: sqlite3.Connection, path: Path, migrations: Sequence[Migration]) -> None:
    """``quick_check`` looks at what is there, not for what should be."""
    with contextlib.closing(sqlite3.connect(":memory:")) as model:
        for migration in migrations:
            model.executescript(migration.sql)
        if not set(model.execute(_COLUMNS)) <= set(connection.execute(_COLUMNS)):
            raise DatabaseDamaged(path)


@contextlib.contextmanager
def _what_fails_is_damage(path: Path) -> Iterator[None]:
    """For reading what must be readable: SQLite has no code of its own for some kinds of damage."""
    try:
        yield
    except ValueError as exc:
        raise DatabaseDamaged(path) from exc
    except sqlite3.Error as exc:
        error = explain(exc, path)
        raise (DatabaseDamaged(path) if error is exc else error) from exc


def _configure(connection: sqlite3.Connection) -> None:
    for setting in (
        "journal_mode = WAL",
        "synchronous = FULL",
        # macOS: fsync() alone leaves the data in the drive's cache.
        "fullfsync = ON",
        "foreign_keys = ON",
        f"journal_size_limit = {_WAL_LIMIT_BYTES}",
    ):
        connection.execute(f"PRAGMA {setting}")
    # That it can't be written, or that someone else does, is better known now than at the first request.
    connection.execute("BEGIN IMMEDIATE")
    connection.execute("COMMIT")
