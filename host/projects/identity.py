"""What this machine is called, and the key by which the relay knows it."""

import socket
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Final

from host.auth.token_store import TokenStore
from host.core.home import write_private
from host.db.database import Database
from host.projects.naming import check_label
from host.protocol.errors import InvalidRequest

_MAX_FILE_BYTES: Final = 4096
_FALLBACK: Final = "This machine"


class MachineLabel:
    """The label in ``machine-label.txt``; without one that is usable, the host's name."""

    def __init__(self, path: Path, *, hostname: Callable[[], str] = socket.gethostname) -> None:
        self._path = path
        self._hostname = hostname

    def read(self) -> str:
        """1 to 100 printable characters, whatever the file holds."""
        for candidate in (self._stored(), self._hostname()):
            try:
                return check_label("label", candidate)
            except InvalidRequest:
                continue
        return _FALLBACK

    def write(self, label: str) -> str:
        """Store the label, whole or not at all; returns it as stored. Raises InvalidRequest, or OSError."""
        checked = check_label("label", label)
        write_private(self._path, f"{checked}\n".encode())
        return checked

    def _stored(self) -> str:
        try:
            with self._path.open("rb") as file:
                return file.read(_MAX_FILE_BYTES).decode()
        except (OSError, UnicodeDecodeError):
            return ""


async def machine_key(store: TokenStore, database: Database) -> str:
    """The key by which the relay knows this machine: that in ``auth.json``, else the database's copy, else a new one.

    Both hold it then, so that it outlives the loss of either.
    """
    key = store.machine_key(otherwise=await database.read(_copied_key))
    await database.write(
        lambda connection: connection.execute(
            "INSERT INTO meta (key, value) VALUES ('machine_key', ?) "
            "ON CONFLICT (key) DO UPDATE SET value = excluded.value",
            (key,),
        )
    )
    return key


def _copied_key(connection: sqlite3.Connection) -> str | None:
    row = connection.execute("SELECT value FROM meta WHERE key = 'machine_key'").fetchone()
    return row[0] if row else None
