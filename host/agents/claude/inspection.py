"""What the CLI says of itself: version, whether it is signed in, what it offers in a directory."""

import asyncio
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import msgspec
from msgspec import UNSET

from host.agents.claude.cli_process import CliProcess
from host.agents.claude.command_line import STREAMED
from host.agents.claude.control import initialize_line
from host.agents.claude.launcher import Launcher
from host.agents.claude.stream_json import ControlResponse
from host.protocol.errors import AgentUnavailable, ProtocolError
from host.protocol.limits import MIB
from host.protocol.messages.agents import AgentCapabilitiesResponse, AgentCommand, AgentModel

TIMEOUT_S: Final = 12.0
PERMISSION_MODES: Final = ("default", "acceptEdits", "plan", "dontAsk", "auto")
_MAX_OUTPUT_BYTES: Final = MIB
_ANYWHERE: Final = Path("/")
_REQUEST_ID: Final = "initialize"
# To look is not to begin a session, which is what a project's hooks would be told.
_NO_HOOKS: Final = '--settings={"disableAllHooks":true}'
_VERSION: Final = re.compile(r"\d+\.\d+\.\d+\S*")
_SILENT: Final = "Claude Code does not answer. Run claude on that machine to see why."


@dataclass(frozen=True, slots=True)
class ClaudeStatus:
    """``problem`` is a sentence that says why there is no ``version``. None for what is not known."""

    version: str | None = None
    is_signed_in: bool | None = None
    problem: str | None = None


class _Command(msgspec.Struct, frozen=True, rename="camel"):
    name: str
    description: str = ""
    argument_hint: str = ""


class _Model(msgspec.Struct, frozen=True, rename="camel"):
    value: str
    display_name: str = ""
    description: str = ""


class _Offer(msgspec.Struct, frozen=True):
    commands: list[_Command] = []
    models: list[_Model] = []


class _SignIn(msgspec.Struct, frozen=True, rename="camel"):
    logged_in: bool | None = None


async def look_at(launcher: Launcher) -> ClaudeStatus:
    """Never fails."""
    try:
        version = await read_version(launcher)
        sign_in = await _output(launcher, "auth", "status")
    except ProtocolError as exc:
        return ClaudeStatus(problem=exc.message)
    return ClaudeStatus(version, _read_sign_in(sign_in))


async def read_version(launcher: Launcher) -> str:
    """Raises AgentUnavailable."""
    found = _VERSION.search((await _output(launcher, "--version")).decode(errors="replace"))
    if found is None:
        raise AgentUnavailable(_SILENT)
    return found[0]


async def read_offer(launcher: Launcher, root: Path) -> AgentCapabilitiesResponse:
    """Without a message to the model, and without a session. Raises AgentUnavailable and ProjectRootGone."""
    version = await read_version(launcher)
    try:
        async with asyncio.timeout(TIMEOUT_S):
            offer = await _initialize(launcher, root)
    except TimeoutError as exc:
        raise AgentUnavailable(_SILENT) from exc
    return AgentCapabilitiesResponse(
        agent="claude",
        version=version,
        commands=[
            AgentCommand(one.name, one.description, one.argument_hint or UNSET) for one in offer.commands if one.name
        ],
        models=[AgentModel(one.value, one.display_name or one.value, one.description or UNSET) for one in offer.models],
        permission_modes=list(PERMISSION_MODES),
    )


async def _initialize(launcher: Launcher, root: Path) -> _Offer:
    arguments = (*STREAMED, "--no-session-persistence", _NO_HOOKS)
    async with CliProcess(await launcher.start(root, arguments)) as process:
        process.say(initialize_line(_REQUEST_ID))
        async for lines in process.lines():
            for line in lines:
                if isinstance(line, ControlResponse) and line.response.request_id == _REQUEST_ID:
                    return _decoded(line.response.response, _Offer)
    raise AgentUnavailable(_SILENT)


def _read_sign_in(output: bytes) -> bool | None:
    try:
        return msgspec.json.decode(output, type=_SignIn).logged_in
    except ValueError:
        return None


def _decoded(raw: bytes, kind: type[_Offer]) -> _Offer:
    try:
        return msgspec.json.decode(raw, type=kind)
    except (ValueError, RecursionError) as exc:
        raise AgentUnavailable(
            "This version of Claude Code says what it offers in a way that is not understood. Update PocketCoder."
        ) from exc


async def _output(launcher: Launcher, *arguments: str) -> bytes:
    """What a command of the CLI prints that has nothing to do with a directory. Raises AgentUnavailable."""
    output = b""
    try:
        async with asyncio.timeout(TIMEOUT_S):
            async with await launcher.start(_ANYWHERE, arguments, wants_stdin=False) as process:
                while (piece := await process.read()) is not None and len(output) < _MAX_OUTPUT_BYTES:
                    output += piece[1] if piece[0] == "stdout" else b""
    except TimeoutError as exc:
        raise AgentUnavailable(_SILENT) from exc
    return output
