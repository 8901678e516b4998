"""fs_write: everything that makes it safe to repeat and safe from a crash, over what the disk needs for it."""

import os
import sqlite3
from pathlib import Path
from typing import Final

import aiohttp

from host.protocol.messages.auth import WEB_CLIENT_ID
from scripts.benchmarks.measure import (
    Effort,
    Figure,
    Report,
    Samples,
    awaited_ms,
    figure_of_medians,
    percentile,
    timed_ms,
)
from scripts.benchmarks.phone import Question, access_token, signed_in_phone
from scripts.benchmarks.sandbox import sandbox

_CONTENT: Final = "x" * 1000
_AGAINST: Final = "2 FULL commits, write, fsync, rename"


async def measure(effort: Effort) -> Report:
    ours: Samples = []
    bare: Samples = []
    with sandbox(projects=1) as place:
        project_id, _ = place.project
        question = Question("fs_write", "fs_write_response", {"path": "file.txt", "content": _CONTENT}, project_id)
        floor = _Floor(place.directory)
        async with aiohttp.ClientSession() as http:
            token = await access_token(http, place.relay_url, WEB_CLIENT_ID)
            async with signed_in_phone(http, place.relay_url, token) as phone:
                for _ in range(5 * effort.rounds):
                    bare.append(timed_ms(floor.write))
                    ours.append(await awaited_ms(lambda: phone.ask(question)))
        floor.close()
    return Report(
        [
            figure_of_medians("fs_write of 1 KB through the whole chain, p50", ours, bare, _AGAINST),
            Figure("  p99", percentile(ours, 99), "ms", percentile(bare, 99), _AGAINST),
        ]
    )


class _Floor:
    """The same disk's work without anything around it."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._connection = sqlite3.connect(directory / "floor.db", isolation_level=None)
        self._connection.execute("PRAGMA journal_mode = WAL")
        self._connection.execute("PRAGMA synchronous = FULL")
        self._connection.execute("CREATE TABLE requests (id INTEGER PRIMARY KEY, answer TEXT)")

    def write(self) -> None:
        row = self._connection.execute("INSERT INTO requests (answer) VALUES (NULL)").lastrowid
        temporary = self._directory / "floor.tmp"
        with temporary.open("wb", buffering=0) as file:
            file.write(_CONTENT.encode())
            os.fsync(file.fileno())
        temporary.rename(self._directory / "floor.txt")
        self._connection.execute("UPDATE requests SET answer = ? WHERE id = ?", (_CONTENT[:200], row))

    def close(self) -> None:
        self._connection.close()
