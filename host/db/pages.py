"""Answers that come in pages: bounded in rows and in bytes."""

import sqlite3
from contextlib import closing
from typing import Any

from host.protocol.limits import MAX_PAGE_BYTES


def first_page(rows: sqlite3.Cursor, limit: int, *, sized_column: int) -> tuple[list[tuple[Any, ...]], bool]:
    """The first ``limit`` rows, and whether there are more.

    Fewer, but not none, where their ``sized_column`` is over 4 MB in all: what is behind is not
    even read. The cursor is closed.
    """
    page: list[tuple[Any, ...]] = []
    room_bytes = MAX_PAGE_BYTES
    with closing(rows):
        for row in rows:
            room_bytes -= len(row[sized_column])
            if page and (len(page) == limit or room_bytes < 0):
                return page, True
            page.append(row)
    return page, False
