"""How the program speaks: sentences and tables."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import NoReturn

import typer


def fail(message: str) -> NoReturn:
    """Say what is wrong, and end with exit code 1."""
    typer.echo(message, err=True)
    raise typer.Exit(1)


def print_table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Columns as wide as their widest cell, without the characters that would move a terminal's cursor."""
    cells = [[_printable(cell) for cell in row] for row in (head, *rows)]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    for row in cells:
        typer.echo("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())


def local_time(epoch_s: float) -> str:
    """``2026-02-12 10:00:00+01:00``, where the terminal is."""
    return datetime.fromtimestamp(epoch_s, UTC).astimezone().isoformat(" ", "seconds")


def _printable(text: str) -> str:
    return "".join(char if char.isprintable() else "?" for char in text)
