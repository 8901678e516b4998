"""The program's commands, put together."""

from typing import Annotated, Final

import typer

from relay_stub.cli import administration, phone, serve
from relay_stub.version import relay_version

app: Final = typer.Typer(
    help="PocketCoder's relay: daemons dial in, clients dial in, and it passes messages between them.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
for _command in (
    serve.serve,
    phone.call,
    phone.watch,
    administration.users,
    administration.sessions,
    administration.revoke,
    administration.passcode,
    administration.rotate_keys,
    administration.audit,
):
    app.command()(_command)


def main() -> None:
    app(prog_name="pocketcoder-relay")


def _show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"pocketcoder-relay {relay_version()}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    pass
