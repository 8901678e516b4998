"""``agent_event``: what happens in a session of an agent (docs/protocol.md, "Agent")."""

from typing import Any, ClassVar, Literal

import msgspec
from msgspec import UNSET, UnsetType

from host.protocol.messages.agents import PromptKind, Resolution
from host.protocol.messages.base import Event

DoneReason = Literal["completed", "cancelled", "failed", "interrupted"]


class AgentEvent(Event, tag_field="type", kw_only=True):
    """What happened in a session; each kind is a class of its own, named by its ``type``.

    Who makes one leaves the first four out: they are set when it is logged. ``seq`` is
    absent in what is not logged. ``truncated``: strings were cut, so that the event is at most 256 KB.
    """

    wire_type: ClassVar[str] = "agent_event"
    agent_session_id: str | UnsetType = UNSET
    turn_id: str | UnsetType = UNSET
    seq: int | UnsetType = UNSET
    at: str | UnsetType = UNSET
    truncated: bool | UnsetType = UNSET


class UserSaid(AgentEvent, tag="user", kw_only=True):
    """``content`` is JSON, as it was sent."""

    content: msgspec.Raw


class TurnBegan(AgentEvent, tag="init", kw_only=True):
    model: str
    tools: list[str]
    permission_mode: str
    cwd: str


class TextDelta(AgentEvent, tag="text_delta", kw_only=True):
    """A piece of a text that comes whole later. Never logged."""

    text: str


class Text(AgentEvent, tag="text", kw_only=True):
    text: str


class Thinking(AgentEvent, tag="thinking", kw_only=True):
    text: str


class ToolUse(AgentEvent, tag="tool_use", kw_only=True):
    tool_use_id: str
    name: str
    input: Any
    parent_tool_use_id: str | UnsetType = UNSET


class FileCreated(AgentEvent, tag="file_create", kw_only=True):
    """After the tool has run. ``patch``: hunks of ``{oldStart, oldLines, newStart, newLines, lines}``."""

    tool_use_id: str
    path: str
    patch: Any = UNSET


class FileEdited(AgentEvent, tag="file_edit", kw_only=True):
    tool_use_id: str
    path: str
    patch: Any = UNSET


class ToolResult(AgentEvent, tag="tool_result", kw_only=True):
    """``content``: text, or a list of blocks. ``truncated`` is always there."""

    tool_use_id: str
    content: Any
    is_error: bool
    truncated: bool = False


class PromptAsked(AgentEvent, tag="prompt", kw_only=True):
    """The agent waits for an answer. ``suggestions``: what "always allow" would allow, as the agent says it."""

    prompt_id: str
    kind: PromptKind
    tool: str | UnsetType = UNSET
    input: Any = UNSET
    questions: Any = UNSET
    plan: str | UnsetType = UNSET
    suggestions: Any = UNSET


class PromptResolved(AgentEvent, tag="prompt_resolved", kw_only=True):
    """``by``: the device that answered."""

    prompt_id: str
    decision: Resolution
    by: str | UnsetType = UNSET


class Queued(AgentEvent, tag="queued", kw_only=True):
    position: int


class Retry(AgentEvent, tag="retry", kw_only=True):
    """The agent's API failed and it tries again by itself."""

    attempt: int
    delay_ms: int
    reason: str


class TurnError(AgentEvent, tag="error", kw_only=True):
    code: str
    message: str


class TurnDone(AgentEvent, tag="done", kw_only=True):
    """The end of every turn, exactly one. ``cost_usd``: in US dollars, as the agent counts."""

    reason: DoneReason
    duration_ms: int
    cancelled: bool | UnsetType = UNSET
    usage: Any = UNSET
    cost_usd: float | UnsetType = UNSET
