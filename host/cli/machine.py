"""``pocketcoder machine``: what this machine is called, and its key."""

import json
from typing import Annotated

import typer

from host.cli.output import errors_for_people, fail
from host.cli.surroundings import control
from host.control_plane.client import DaemonNotRunning, checked

app = typer.Typer(help="This machine's label and key.", no_args_is_help=True, rich_markup_mode=None)


@app.command("show")
def machine_show() -> None:
    """Show this machine's label and key.

    Example: pocketcoder machine show
    """
    from host.projects.identity import MachineLabel

    with errors_for_people():
        paths, daemon = control()
        try:
            key = str(json.loads(checked(daemon.request("GET", "/status")).body)["machineKey"])
        except DaemonNotRunning:
            from host.cli import offline

            key = offline.find_machine_key(paths)
        typer.echo(f"Label  {MachineLabel(paths.machine_label).read()}")
        typer.echo(f"Key    {key}")


@app.command("label")
def machine_label(text: Annotated[str, typer.Argument(help="1 to 100 characters.")]) -> None:
    """Name this machine, as the phone shows it.

    Example: pocketcoder machine label "The tower under my desk"
    """
    from host.projects.identity import MachineLabel
    from host.protocol.errors import ProtocolError

    with errors_for_people():
        paths, daemon = control()
        try:
            label = str(json.loads(checked(daemon.request("POST", "/machine-label", {"label": text})).body)["label"])
        except DaemonNotRunning:
            try:
                label = MachineLabel(paths.machine_label).write(text)
            except ProtocolError as exc:
                fail(exc.message)
        typer.echo(f"This machine is now called {label}.")
