"""The ``claude_project_dirs`` table: what was read of a directory's transcripts, to be spared reading them again."""

import os
import sqlite3
from pathlib import Path

from host.db.database import Database
from host.protocol.limits import MAX_PROJECTS


class ClaudeProjectDirs:
    """One entry a directory, of the last ones that were stored as many as there may be projects."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def load(self, directory: Path) -> bytes:
        """What was stored; empty where nothing was."""
        row = await self._database.read(
            lambda connection: connection.execute(
                "SELECT transcripts FROM claude_project_dirs WHERE directory = ?", (os.fsencode(directory),)
            ).fetchone()
        )
        return row[0] if row else b""

    async def store(self, directory: Path, transcripts: bytes) -> None:
        def job(connection: sqlite3.Connection) -> None:
            connection.execute(
                "INSERT OR REPLACE INTO claude_project_dirs (directory, transcripts) VALUES (?, ?)",
                (os.fsencode(directory), transcripts),
            )
            connection.execute(
                "DELETE FROM claude_project_dirs WHERE rowid NOT IN "
                "(SELECT rowid FROM claude_project_dirs ORDER BY rowid DESC LIMIT ?)",
                (MAX_PROJECTS,),
            )

        await self._database.write(job)
