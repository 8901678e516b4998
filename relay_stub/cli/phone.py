"""A phone for the terminal: ``pocketcoder-relay call`` and ``watch``."""

import asyncio
from collections.abc import Callable, Coroutine
from contextlib import AbstractAsyncContextManager
from typing import Annotated, Any, Final
from uuid import uuid4

import msgspec
import typer

from host.core.settings import SettingsError, relay_url
from host.protocol.catalog import needs_project
from relay_stub.cli.output import fail
from relay_stub.cli.serve import DEFAULT_PORT
from relay_stub.client import ClientError, ConnectionClosed, Message, RelayClient
from relay_stub.routing import needs_machine
from relay_stub.short_line import short_line

DEFAULT_RELAY_URL: Final = f"ws://127.0.0.1:{DEFAULT_PORT}"
DEFAULT_LOGIN: Final = "dev"
DEFAULT_DEVICE: Final = "pocketcoder-relay"


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
DeviceOption = Annotated[str, typer.Option("--device", help="Be the phone of this name.")]


def call(
    wire_type: Annotated[str, typer.Argument(metavar="TYPE", help="A message type, such as fs_list.")],
    payload: Annotated[str, typer.Argument(metavar="[PAYLOAD-JSON]", help="The request's payload.")] = "{}",
    project: Annotated[str | None, typer.Option(help="A project's name or id; needed if there are several.")] = None,
    machine: Annotated[str | None, typer.Option(help="A machine's label or key; needed if there are several.")] = None,
    request_id: Annotated[str | None, typer.Option(help="Send again what was sent under this id.")] = None,
    relay: RelayOption = DEFAULT_RELAY_URL,
    login: LoginOption = DEFAULT_LOGIN,
    device: DeviceOption = DEFAULT_DEVICE,
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
    _run(_call(RelayClient.sign_in(relay, login, device=device), wire_type, content, project, machine, request_id))


def watch(
    project: Annotated[str | None, typer.Option(help="A project's name or id; else all of them.")] = None,
    short: Annotated[bool, typer.Option("--short", help="Only what a person reads; long members are cut.")] = False,
    relay: RelayOption = DEFAULT_RELAY_URL,
    login: LoginOption = DEFAULT_LOGIN,
) -> None:
    """Print events as they come, a line of JSON each, until Ctrl-C.

    Example: pocketcoder-relay watch --project myapp --short
    """
    _run(_watch(relay, login, project, _print_short if short else _print_event))


async def _call(
    phone: AbstractAsyncContextManager[RelayClient],
    wire_type: str,
    payload: object,
    project: str | None,
    machine: str | None,
    request_id: str | None,
) -> None:
    request_id = request_id or str(uuid4())
    async with phone as client:
        needs_one = project or needs_project(wire_type)
        session_id = (await _project(client, project))["projectId"] if needs_one else None
        machine_key = await _machine_key(client, machine) if machine or needs_machine(wire_type) else None
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


async def _watch(relay: str, login: str, project: str | None, show: Callable[[Message], None]) -> None:
    async with RelayClient.sign_in(relay, login) as client:
        wanted = [await _project(client, project)] if project else await client.projects()
        for each in wanted:
            await client.join(each["projectId"])
        typer.echo(f"Watching {len(wanted)} project(s). Stop with Ctrl-C.", err=True)
        for each in wanted:
            if reason := _why_silent(each):
                typer.echo(f"No changes are told of {each['name']} now: {reason}", err=True)
        printer = asyncio.create_task(_print_all(client, show))
        code = await client.closed()
        printer.cancel()
        raise ConnectionClosed(code)


async def _print_streamed(client: RelayClient, request_id: str) -> None:
    while True:
        _print_if_streamed(await client.events.get(), request_id)


async def _print_all(client: RelayClient, show: Callable[[Message], None]) -> None:
    while True:
        show(await client.events.get())


def _print_if_streamed(event: Message, request_id: str) -> None:
    if event.get("payload", {}).get("requestId") == request_id:
        _print_event(event)


def _print_event(event: Message) -> None:
    typer.echo(msgspec.json.encode(event).decode())


def _print_short(event: Message) -> None:
    typer.echo(short_line(event))


async def _project(client: RelayClient, reference: str | None) -> Message:
    projects = await client.projects()
    if not projects:
        login = client.welcome["user"]["login"]
        raise ClientError(f"{login} has no projects yet. Add one on a machine of {login} with: pocketcoder add PATH")
    return _only(projects, reference, "project", ("projectId", "name"))


def _why_silent(project: Message) -> str | None:
    if not project["connected"]:
        return "its machine is offline."
    if not project["watcherRunning"]:
        return "its machine does not watch it, or not yet. There, pocketcoder status says why."
    return None


async def _machine_key(client: RelayClient, reference: str | None) -> str:
    machines = (await client.request("machines_list"))["machines"]
    if not machines:
        login = client.welcome["user"]["login"]
        raise ClientError(f"{login} has no machines yet. Sign one in with: pocketcoder login, then pocketcoder start")
    return str(_only(machines, reference, "machine", ("machineKey", "label"))["machineKey"])


def _only(candidates: list[Message], reference: str | None, what: str, names: tuple[str, str]) -> Message:
    """The one that is called so, by its id or else by its name; the only one, if none is named."""
    if reference is None and len(candidates) == 1:
        return candidates[0]
    if reference is None:
        raise ClientError(f"There are several {what}s. Name one with --{what}: {_listed(candidates, names[1])}")
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
        fail(f"{exc} Try again in a moment.")
    except ClientError as exc:
        fail(str(exc))
    except UnicodeEncodeError:
        fail("What you wrote is not valid UTF-8, and nothing else can be sent. Write it in UTF-8.")
    except KeyboardInterrupt:
        raise typer.Exit(130) from None
