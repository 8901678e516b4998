"""command_* messages (docs/protocol.md, "Commands")."""

from typing import Annotated, ClassVar, Literal

import msgspec
from msgspec import UNSET, UnsetType
from pydantic import Field

from host.protocol.limits import (
    COMMAND_TIMEOUT_DEFAULT_MS,
    COMMAND_TIMEOUT_MAX_MS,
    COMMAND_TIMEOUT_MIN_MS,
    MAX_COMMAND_CHARS,
    MAX_REQUEST_ID_CHARS,
)
from host.protocol.messages.base import Event, PageLimit, Request, Response

ExitReason = Literal["exited", "cancelled", "timeout", "interrupted"]
RunId = Annotated[str, Field(min_length=1, max_length=MAX_REQUEST_ID_CHARS)]

# The operating system ends a text at NUL, and a variable's name at "=".
_WITHOUT_NUL = r"^[^\x00]*$"
EnvironmentName = Annotated[str, Field(min_length=1, pattern=r"^[^=\x00]*$")]
EnvironmentValue = Annotated[str, Field(pattern=_WITHOUT_NUL)]


class CommandExec(Request):
    """``command`` is the user's shell's to read; ``env`` is put on top of its environment."""

    wire_type: ClassVar[str] = "command_exec"
    command: Annotated[str, Field(max_length=MAX_COMMAND_CHARS, pattern=_WITHOUT_NUL)]
    timeout_ms: Annotated[int, Field(ge=COMMAND_TIMEOUT_MIN_MS, le=COMMAND_TIMEOUT_MAX_MS)] = COMMAND_TIMEOUT_DEFAULT_MS
    env: dict[EnvironmentName, EnvironmentValue] | None = None


class CommandOutput(Event):
    """One of the two chunks is there. ``request_id`` is the run's; ``seq`` counts its events from 1."""

    wire_type: ClassVar[str] = "command_output"
    request_id: str
    seq: int
    stdout_chunk: str | UnsetType = UNSET
    stderr_chunk: str | UnsetType = UNSET


class CommandExit(Event):
    """The last event of every run, and what answers ``command_exec``.

    ``exit_code`` is None for what was killed, ``signal`` then the last one that was needed.
    ``output_tail``: the end of the output, where ``truncated``.
    """

    wire_type: ClassVar[str] = "command_exit"
    request_id: str
    seq: int
    reason: ExitReason
    exit_code: int | None
    signal: str | None
    duration_ms: int
    truncated: bool
    output_tail: str | UnsetType = UNSET


class CommandCancel(Request):
    wire_type: ClassVar[str] = "command_cancel"
    request_id: RunId


class CommandCancelResponse(Response):
    success: bool = True


class CommandRunsList(Request):
    """Newest first. ``before``: the ``request_id`` of the last run of the page before."""

    wire_type: ClassVar[str] = "command_runs_list"
    limit: PageLimit = 50
    before: RunId | None = None


class CommandRun(msgspec.Struct, frozen=True, rename="camel"):
    """One run. Times are RFC 3339 UTC with milliseconds; ``ended_at`` and ``reason`` are None while it runs.

    ``output_preview``: the first 200 characters of its output.
    """

    request_id: str
    command: str
    started_at: str
    ended_at: str | None
    reason: ExitReason | None
    exit_code: int | None
    signal: str | None
    truncated: bool
    output_preview: str


class CommandRunsListResponse(Response):
    runs: list[CommandRun]
    more: bool
