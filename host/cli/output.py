"""How commands speak and end."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NoReturn

import typer

from host.cli.exit_codes import FAILED, NOT_RUNNING
from host.control_plane.client import DaemonNotRunning
from host.core.errors import ForPeople, system_refusal


def fail(message: str, code: int = FAILED) -> NoReturn:
    """Say what is wrong on stderr and end."""
    typer.echo(message, err=True)
    raise typer.Exit(code)


@contextmanager
def errors_for_people() -> Iterator[None]:
    """What was made to be read by people ends the command with its message; everything else is a bug and raises."""
    try:
        yield
    except DaemonNotRunning as exc:
        fail(str(exc), NOT_RUNNING)
    except ForPeople as exc:
        fail(str(exc))
    except BrokenPipeError:
        raise  # Whoever read the output has enough; typer ends the command.
    except OSError as exc:
        fail(system_refusal(exc))


def print_table(headings: tuple[str, ...], rows: list[tuple[str, ...]]) -> None:
    """A table on a terminal; tab-separated lines without headings elsewhere."""
    if sys.stdout is None or not sys.stdout.isatty():
        for row in rows:
            typer.echo("\t".join(row))
        return
    from rich.console import Console  # noqa: PLC0415 - 40 ms that only a terminal needs
    from rich.table import Table  # noqa: PLC0415
    from rich.text import Text  # noqa: PLC0415

    table = Table(box=None, pad_edge=False)
    for heading in headings:
        # On a narrow terminal an id is still whole, if not in one line.
        table.add_column(heading, overflow="fold")
    for row in rows:
        table.add_row(*(Text(cell) for cell in row))
    Console().print(table)
