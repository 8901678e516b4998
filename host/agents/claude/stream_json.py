"""What the CLI says, line by line. Pure.

Only what is needed is read; other types and members are passed over, since versions differ in them. Members that
are merely handed on are ``Any``, so that none of them can make a line unreadable.
"""

from typing import Any, Final

import msgspec


class UnreadableLine(ValueError):
    """A line that is no JSON, or is not made as its type should be. The message says where, and quotes nothing."""


class Line(msgspec.Struct, frozen=True):
    """Something the CLI said."""


class Init(Line, frozen=True):
    """The model begins, or goes on by itself when something in the background has ended."""

    model: str = ""
    tools: list[str] = []
    permission_mode: str = msgspec.field(name="permissionMode", default="default")
    cwd: str = ""


class StateChanged(Line, frozen=True):
    """``running``, ``requires_action`` or ``idle``."""

    state: str


class ApiRetry(Line, frozen=True):
    """``error_status`` is HTTP's, None where there was no answer."""

    attempt: int
    retry_delay_ms: float = 0.0
    error_status: int | None = None
    error: str = "unknown"


class TaskStarted(Line, frozen=True):
    """``task_type`` is ``local_agent``, ``local_bash``…; also of what runs in the foreground and takes long."""

    task_id: str
    task_type: str = ""


class TaskEnded(Line, frozen=True):
    task_id: str


class Informational(Line, frozen=True):
    """Words of the CLI itself. With ``prevent_continuation`` the message was not given to the model."""

    content: str = ""
    prevent_continuation: bool = False


class ConversationReset(Line, frozen=True):
    """``/clear``: this process goes on with another session."""


class Delta(msgspec.Struct, frozen=True):
    type: str = ""
    text: str = ""


class StreamedEvent(msgspec.Struct, frozen=True):
    type: str
    delta: Delta | None = None


class Streamed(Line, frozen=True):
    """An event of the API, as it came. Of the agent itself, not of its sub-agents."""

    event: StreamedEvent
    parent_tool_use_id: str | None = None


class Block(msgspec.Struct, frozen=True):
    """A piece of a message; which members it has depends on its ``type``."""

    type: str
    text: str = ""
    thinking: str = ""
    id: str = ""
    name: str = ""
    input: Any = None
    tool_use_id: str = ""
    content: Any = ""
    is_error: bool | None = None


class Message(msgspec.Struct, frozen=True):
    content: str | list[Block] = ""


class Assistant(Line, frozen=True):
    """One block of what the model said. With ``error`` it is the CLI that says how its API failed."""

    message: Message
    parent_tool_use_id: str | None = None
    error: str | None = None


class User(Line, frozen=True):
    """Results of tools, and what was said to the model. ``tool_use_result`` is the CLI's own knowledge of them."""

    message: Message
    parent_tool_use_id: str | None = None
    tool_use_result: msgspec.Raw = msgspec.Raw(b"null")
    is_replay: bool = msgspec.field(name="isReplay", default=False)


class ModelUsage(msgspec.Struct, frozen=True, rename="camel"):
    input_tokens: int = 0
    output_tokens: int = 0
    cache_read_input_tokens: int = 0
    cache_creation_input_tokens: int = 0


class Result(Line, frozen=True):
    """The model has stopped. ``total_cost_usd`` and ``model_usage`` count from the start of the process."""

    is_error: bool = False
    terminal_reason: str | None = None
    result: str = ""
    errors: list[str] = []
    total_cost_usd: float | None = None
    model_usage: dict[str, ModelUsage] = msgspec.field(name="modelUsage", default={})


class ToolQuestion(msgspec.Struct, frozen=True):
    """Whether a tool may be used. ``permission_suggestions`` are what the CLI would remember of a yes."""

    subtype: str
    tool_name: str = ""
    input: Any = None
    permission_suggestions: Any = None
    decision_reason_type: str | None = None


class ControlRequest(Line, frozen=True):
    """To be answered; ``can_use_tool`` is the one ``subtype`` that we know."""

    request_id: str
    request: ToolQuestion


class ControlCancelled(Line, frozen=True):
    """A ``ControlRequest`` needs no answer any more."""

    request_id: str


class ControlAnswer(msgspec.Struct, frozen=True):
    subtype: str
    request_id: str
    response: msgspec.Raw = msgspec.Raw(b"null")


class ControlResponse(Line, frozen=True):
    response: ControlAnswer


class _Head(msgspec.Struct, frozen=True):
    type: str
    subtype: str | None = None


_HEAD: Final = msgspec.json.Decoder(_Head)
_SYSTEM: Final[dict[str | None, msgspec.json.Decoder[Any]]] = {
    "init": msgspec.json.Decoder(Init),
    "session_state_changed": msgspec.json.Decoder(StateChanged),
    "api_retry": msgspec.json.Decoder(ApiRetry),
    "task_started": msgspec.json.Decoder(TaskStarted),
    "task_notification": msgspec.json.Decoder(TaskEnded),
    "informational": msgspec.json.Decoder(Informational),
}
_OTHERS: Final[dict[str, msgspec.json.Decoder[Any]]] = {
    "stream_event": msgspec.json.Decoder(Streamed),
    "assistant": msgspec.json.Decoder(Assistant),
    "user": msgspec.json.Decoder(User),
    "result": msgspec.json.Decoder(Result),
    "control_request": msgspec.json.Decoder(ControlRequest),
    "control_cancel_request": msgspec.json.Decoder(ControlCancelled),
    "control_response": msgspec.json.Decoder(ControlResponse),
    "conversation_reset": msgspec.json.Decoder(ConversationReset),
}


def parse(line: bytes) -> Line | None:
    """What the line says; None for a type that is not known. Raises UnreadableLine."""
    try:
        head = _HEAD.decode(line)
        decoder = _SYSTEM.get(head.subtype) if head.type == "system" else _OTHERS.get(head.type)
        return None if decoder is None else decoder.decode(line)
    # Text that is no UTF-8 is a ValueError, too; JSON that is nested too deep is the second.
    except (ValueError, RecursionError) as exc:
        raise UnreadableLine(f"{type(exc).__name__}: {exc}") from exc
