"""The commands: parse, call, print. Each loads what it needs when it runs, so that none waits for another's."""

import json
import os
import time
from pathlib import Path
from typing import Annotated, Literal

import typer

from host.cli import machine
from host.cli.autostart import disable_autostart, enable_autostart
from host.cli.doctor import doctor
from host.cli.exit_codes import INTERRUPTED
from host.cli.output import errors_for_people, fail, print_table
from host.cli.status import show_status
from host.cli.surroundings import control, surroundings
from host.control_plane.client import ControlClient, checked, understood
from host.control_plane.words import work_of
from host.core.home import HostPaths, find_paths
from host.core.instance_lock import AlreadyRunning, holder
from host.core.settings import DEFAULT_RELAY_URL, Settings, relay_url

LogLevel = Literal["debug", "info", "warning", "error"]

app = typer.Typer(
    help="Reach the projects and the coding agent on this machine from your phone.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)

app.add_typer(machine.app, name="machine")
app.command("enable-autostart")(enable_autostart)
app.command("disable-autostart")(disable_autostart)
app.command("doctor")(doctor)


def _show_version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        typer.echo(f"pocketcoder {version('pocketcoder')}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    pass


@app.command()
def login(
    relay: Annotated[str | None, typer.Option(help="The relay to sign in at; remembered.")] = None,
    device: Annotated[bool, typer.Option("--device", help="Confirm in a browser on another device.")] = False,
    no_browser: Annotated[bool, typer.Option("--no-browser", help="Print the URL, open no browser.")] = False,
    insecure: Annotated[bool, typer.Option("--insecure", help="Allow a relay without encryption.")] = False,
) -> None:
    """Sign this machine in at the relay.

    Example: pocketcoder login --relay wss://relay.example.org
    """
    from host.auth.token_store import TokenStore
    from host.cli.login import log_in

    with errors_for_people():
        paths, settings = surroundings()
        store = TokenStore(paths.auth_file)
        chosen = relay_url(relay, insecure=insecure) if relay else settings.gateway_url or store.relay_url()
        log_in(store, chosen or DEFAULT_RELAY_URL, by_device=device, open_browser=not no_browser)
        if holder(paths.pid_file) is None:
            typer.echo("Start the daemon with: pocketcoder start", err=True)
        else:
            checked(ControlClient(paths, settings.control_port).request("POST", "/re-register"))


@app.command()
def logout() -> None:
    """End the sign-in, here and at the relay. The machine keeps its key and its projects.

    Example: pocketcoder logout
    """
    from host.auth.token_store import TokenStore
    from host.cli.login import log_out

    with errors_for_people():
        paths, settings = surroundings()
        if log_out(TokenStore(paths.auth_file)) and holder(paths.pid_file) is not None:
            checked(ControlClient(paths, settings.control_port).request("POST", "/re-register"))


@app.command()
def start(
    foreground: Annotated[bool, typer.Option("--foreground", help="Stay here, log to the terminal.")] = False,
) -> None:
    """Start the daemon; it runs on when the terminal is closed.

    Example: pocketcoder start
    """
    from host.auth.token_store import TokenStore
    from host.cli.background import StartFailed, run_in_foreground, start_in_background

    with errors_for_people():
        paths, settings = surroundings()
        if (pid := holder(paths.pid_file)) is not None:
            _wake(paths, settings, pid)
            return
        try:
            if foreground:
                run_in_foreground(paths, settings)
            typer.echo(f"PocketCoder started (process {start_in_background(paths)}).")
        except (AlreadyRunning, StartFailed):
            # Another start may have been quicker, as that of the system when somebody logs in.
            if (pid := holder(paths.pid_file)) is None:
                raise
            typer.echo(f"PocketCoder is already running (process {pid}).")
        if TokenStore(paths.auth_file).signed_in() is None:
            typer.echo("Nobody is signed in yet. Sign in with: pocketcoder login")


@app.command()
def stop(force: Annotated[bool, typer.Option("--force", help="Don't wait for what it is doing.")] = False) -> None:
    """Stop the daemon; what it is doing gets up to 30 seconds to end.

    Example: pocketcoder stop --force
    """
    from host.cli.stopping import wait_for_end

    with errors_for_people():
        paths, client = control()
        checked(client.request("POST", "/stop", {"force": force}))
        wait_for_end(paths, client, is_forced=force)
        typer.echo("PocketCoder stopped.")


@app.command()
def status(as_json: Annotated[bool, typer.Option("--json", help="Print what /status answers.")] = False) -> None:
    """Show what runs and how the link to the relay is.

    Example: pocketcoder status --json
    """
    raise typer.Exit(show_status(as_json=as_json))


@app.command()
def add(
    path: Annotated[str, typer.Argument(help="A directory.")],
    name: Annotated[str | None, typer.Option(help="What to call it; else the directory's name.")] = None,
    force: Annotated[bool, typer.Option("--force", help="Allow your home directory and what is around it.")] = False,
) -> None:
    """Let the phone work in a directory.

    Example: pocketcoder add . --name myapp
    """
    from host.cli.projects import Projects

    with errors_for_people():
        # An empty one would be the directory that the command runs in.
        if not path:
            raise typer.BadParameter("It is empty.", param_hint="path")
        project = Projects(*control()).add(Path(os.path.abspath(os.path.expanduser(path))), name, force=force)
        if name is not None and project.name != name.strip():
            fail(
                f"{project.path} is a project already, called {project.name}. To call it otherwise, "
                f"remove it first: pocketcoder remove {project.project_id}"
            )
        typer.echo(f"Added {project.name} ({project.project_id}): {project.path}")


@app.command()
def remove(project: Annotated[str, typer.Argument(help="A project's id, path or name.")]) -> None:
    """Stop the phone from working in a project. Its files stay as they are.

    Example: pocketcoder remove myapp
    """
    from host.cli.projects import Projects, find_project

    with errors_for_people():
        projects = Projects(*control())
        found = find_project(projects.all(), project)
        projects.remove(found.project_id)
        typer.echo(f"Removed {found.name} ({found.project_id}). Its files are still at {found.path}")


@app.command()
def projects(as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False) -> None:
    """List the projects.

    Example: pocketcoder projects
    """
    import msgspec

    from host.cli.projects import Projects
    from host.control_plane.statuses import ProjectsResponse

    with errors_for_people():
        found = Projects(*control()).all()
        if as_json:
            typer.echo(msgspec.json.format(msgspec.json.encode(ProjectsResponse(projects=found))).decode())
        elif found:
            print_table(("Name", "Path", "Id"), [(each.name, each.path, each.project_id) for each in found])
        else:
            typer.echo("There are no projects yet. Add one with: pocketcoder add PATH", err=True)


@app.command()
def logs(
    tail: Annotated[int, typer.Option("--tail", min=0, help="How many of the last lines.")] = 50,
    follow: Annotated[bool, typer.Option("-f", "--follow", help="Go on with what is logged from now on.")] = False,
    level: Annotated[LogLevel | None, typer.Option(help="Only messages of that level or above.")] = None,
    since: Annotated[str | None, typer.Option(help="Only what came after: 10m, 2h, 1d, or a time.")] = None,
) -> None:
    """Show the daemon's log.

    Example: pocketcoder logs --tail 100 --level warning -f
    """
    from host.cli.logs import Wanted, follow_log, last_lines, time_of

    with errors_for_people():
        path = find_paths(os.environ).log_file
        wanted = Wanted(level, time_of(since, now_s=time.time()) if since else None)
        try:
            lines, position = last_lines(path, tail, wanted)
            for line in lines:
                typer.echo(line)
            if follow:
                follow_log(path, position, lambda line: typer.echo(line) if wanted(line) else None)
        except FileNotFoundError:
            fail("There is no log yet. Start the daemon with: pocketcoder start")
        except KeyboardInterrupt:
            raise typer.Exit(INTERRUPTED) from None


def _wake(paths: HostPaths, settings: Settings, pid: int) -> None:
    """A daemon runs already; one that has given up is asked to try again. One that is stopping will not be there."""
    control = ControlClient(paths, settings.control_port)
    with understood():
        status = json.loads(checked(control.request("GET", "/status")).body)
        is_stopping, work = status["stopping"], work_of(status)
    if is_stopping:
        fail(
            f"The daemon (process {pid}) is stopping and waits for {work or 'its last answers'}. "
            "When it has stopped, run this again; to stop it now: pocketcoder stop --force"
        )
    if not status["relay"]["connected"]:
        checked(control.request("POST", "/re-register"))
    typer.echo(f"PocketCoder is already running (process {pid}).")
