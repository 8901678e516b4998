"""``pocketcoder-relay``: serve, and a phone for the terminal."""

import asyncio
import contextlib
import logging
import signal
import sys
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Annotated, Any, Final, NoReturn
from uuid import uuid4

import msgspec
import platformdirs
import typer

from host.core.settings import SettingsError, relay_url
from host.protocol.catalog import needs_project
from relay_stub.app import run_relay
from relay_stub.client import ClientError, ConnectionClosed, Message, RelayClient
from relay_stub.config import RelayConfig
from relay_stub.oauth.identity.port import ProviderUnusable
from relay_stub.store.data_directory import StoreError
from relay_stub.version import relay_version

DEFAULT_PORT: Final = 8787
DEFAULT_RELAY_URL: Final = f"ws://127.0.0.1:{DEFAULT_PORT}"
DEFAULT_LOGIN: Final = "dev"

app = typer.Typer(
    help="PocketCoder's relay: daemons dial in, clients dial in, and it passes messages between them.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)


def _relay_url(text: str) -> str:
    try:
        return relay_url(text)
    except SettingsError as exc:
        raise typer.BadParameter(str(exc)) from exc


RelayOption = Annotated[
    str, typer.Option("--relay", envvar="GATEWAY_URL", callback=_relay_url, help="The relay's URL.")
]
LoginOption = Annotated[
    str, typer.Option("--login", envvar="POCKETCODER_DEV_LOGIN", help="Sign in as this name (dev).")
]


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


@app.command()
def serve(
    host: Annotated[str, typer.Option(help="The address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="0 lets the system choose.")] = DEFAULT_PORT,
    data_dir: Annotated[Path | None, typer.Option(help="Where users, tokens and machines are kept.")] = None,
    identity: Annotated[str, typer.Option(help="Who says who users are: dev.")] = "dev",
    access_lifetime_s: Annotated[int, typer.Option(min=1, max=86400, help="Life of an access token.")] = 900,
) -> None:
    """Run the relay until Ctrl-C.

    Example: pocketcoder-relay serve --port 8787 --data-dir ~/relay
    """
    if identity != "dev":
        raise typer.BadParameter("The only identity provider is dev.", param_hint="--identity")
    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    config = RelayConfig(
        data_dir=data_dir or _default_data_dir(), host=host, port=port, access_lifetime_s=access_lifetime_s
    )
    try:
        with asyncio.Runner(loop_factory=_loop_factory()) as runner:
            runner.run(_serve(config))
    except (StoreError, ProviderUnusable) as exc:
        _fail(str(exc))
    except OSError:
        _fail(f"The relay cannot listen on {host} port {port}. Is the port taken? Choose another with --port.")


@app.command()
def call(
    wire_type: Annotated[str, typer.Argument(metavar="TYPE", help="A message type, such as fs_list.")],
    payload: Annotated[str, typer.Argument(metavar="[PAYLOAD-JSON]", help="The request's payload.")] = "{}",
    project: Annotated[str | None, typer.Option(help="A project's name or id; needed if there are several.")] = None,
    machine: Annotated[str | None, typer.Option(help="A machine's label or key.")] = None,
    request_id: Annotated[str | None, typer.Option(help="Send again what was sent under this id.")] = None,
    relay: RelayOption = DEFAULT_RELAY_URL,
    login: LoginOption = DEFAULT_LOGIN,
) -> None:
    """Ask as a phone would; print the answer, and what is streamed until it comes.

    Example: pocketcoder-relay call fs_list '{"path":""}' --project myapp
    """
    try:
        content = msgspec.json.decode(payload)
    except (msgspec.DecodeError, UnicodeEncodeError) as exc:
        raise typer.BadParameter(
            "The payload is not JSON. Put it in single quotes.", param_hint="PAYLOAD-JSON"
        ) from exc
    _run(_call(relay, login, wire_type, content, project, machine, request_id))


@app.command()
def watch(
    project: Annotated[str | None, typer.Option(help="A project's name or id; else all of them.")] = None,
    relay: RelayOption = DEFAULT_RELAY_URL,
    login: LoginOption = DEFAULT_LOGIN,
) -> None:
    """Print events as they come, a line of JSON each, until Ctrl-C.

    Example: pocketcoder-relay watch --project myapp
    """
    _run(_watch(relay, login, project))


async def _serve(config: RelayConfig) -> None:
    stopped = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stopped.set)
    async with run_relay(config) as url:
        typer.echo(f"Relay listening on {url}")
        sys.stdout.flush()
        await stopped.wait()
    typer.echo("Relay stopped.")


async def _call(
    relay: str,
    login: str,
    wire_type: str,
    payload: object,
    project: str | None,
    machine: str | None,
    request_id: str | None,
) -> None:
    request_id = request_id or str(uuid4())
    async with RelayClient.sign_in(relay, login) as client:
        needs_one = project or needs_project(wire_type)
        session_id = (await _project(client, project))["projectId"] if needs_one else None
        machine_key = await _machine_key(client, machine) if machine else None
        printer = asyncio.create_task(_print_streamed(client, request_id))
        try:
            answer = await client.request(
                wire_type, payload, session_id=session_id, machine_key=machine_key, request_id=request_id
            )
        except ConnectionClosed as exc:
            again = f"{exc} To learn what became of the request, send it again with --request-id {request_id}"
            raise ClientError(again) from exc
        finally:
            printer.cancel()
            # What came before the answer is printed before it.
            while not client.events.empty():
                _print_if_streamed(client.events.get_nowait(), request_id)
    typer.echo(msgspec.json.format(msgspec.json.encode(answer)).decode())


async def _watch(relay: str, login: str, project: str | None) -> None:
    async with RelayClient.sign_in(relay, login) as client:
        wanted = [await _project(client, project)] if project else await client.projects()
        for each in wanted:
            await client.join(each["projectId"])
        typer.echo(f"Watching {len(wanted)} project(s). Stop with Ctrl-C.", err=True)
        for each in wanted:
            if reason := _why_silent(each):
                typer.echo(f"No changes are told of {each['name']} now: {reason}", err=True)
        printer = asyncio.create_task(_print_all(client))
        code = await client.closed()
        printer.cancel()
        raise ConnectionClosed(code)


async def _print_streamed(client: RelayClient, request_id: str) -> None:
    while True:
        _print_if_streamed(await client.events.get(), request_id)


async def _print_all(client: RelayClient) -> None:
    while True:
        _print_event(await client.events.get())


def _print_if_streamed(event: Message, request_id: str) -> None:
    if event.get("payload", {}).get("requestId") == request_id:
        _print_event(event)


def _print_event(event: Message) -> None:
    typer.echo(msgspec.json.encode(event).decode())


async def _project(client: RelayClient, reference: str | None) -> Message:
    projects = await client.projects()
    if not projects:
        login = client.welcome["user"]["login"]
        raise ClientError(f"{login} has no projects yet. Add one on a machine of {login} with: pocketcoder add PATH")
    if reference is None and len(projects) == 1:
        return projects[0]
    if reference is None:
        raise ClientError(f"There are several projects. Name one with --project: {_listed(projects, 'name')}")
    return _only(projects, reference, "project", ("projectId", "name"))


def _why_silent(project: Message) -> str | None:
    if not project["connected"]:
        return "its machine is offline."
    if not project["watcherRunning"]:
        return "its machine does not watch it, or not yet. There, pocketcoder status says why."
    return None


async def _machine_key(client: RelayClient, reference: str) -> str:
    machines = (await client.request("machines_list"))["machines"]
    return str(_only(machines, reference, "machine", ("machineKey", "label"))["machineKey"])


def _only(candidates: list[Message], reference: str, what: str, names: tuple[str, str]) -> Message:
    """The one that is called so, by its id or else by its name."""
    for name in names:
        found = [candidate for candidate in candidates if candidate[name] == reference]
        if len(found) == 1:
            return found[0]
        if found:
            raise ClientError(
                f"Several are called {reference!r}. Name the {what} by its id: {_listed(found, names[0])}"
            )
    raise ClientError(f"There is no {what} {reference!r}. There are: {_listed(candidates, names[1])}")


def _listed(candidates: list[Message], name: str) -> str:
    return ", ".join(str(candidate[name]) for candidate in candidates)


def _run(work: Coroutine[Any, Any, None]) -> None:
    try:
        asyncio.run(work)
    except ConnectionClosed as exc:
        _fail(f"{exc} Try again in a moment.")
    except ClientError as exc:
        _fail(str(exc))
    except UnicodeEncodeError:
        _fail("What you wrote is not valid UTF-8, and nothing else can be sent. Write it in UTF-8.")
    except KeyboardInterrupt:
        raise typer.Exit(130) from None


def _fail(message: str) -> NoReturn:
    typer.echo(message, err=True)
    raise typer.Exit(1)


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    """uvloop where it installs: a quarter less time for each message."""
    with contextlib.suppress(ImportError):
        import uvloop  # noqa: PLC0415 - does not install everywhere

        return uvloop.new_event_loop
    return None


def _default_data_dir() -> Path:
    return Path(platformdirs.user_data_dir("pocketcoder-relay", appauthor=False))
