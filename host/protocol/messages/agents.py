"""agent_* messages, and what waits for the user's attention (docs/protocol.md, "Agent")."""

from typing import Annotated, Any, ClassVar, Literal

import msgspec
from msgspec import UNSET, UnsetType
from pydantic import Field, StringConstraints

from host.protocol.messages.base import Event, PageLimit, Request, Response, WireModel

PermissionMode = Literal["default", "acceptEdits", "plan", "dontAsk", "auto", "bypassPermissions"]
SessionState = Literal["idle", "running", "waiting", "queued"]
SessionSource = Literal["pocketcoder", "terminal"]
PromptKind = Literal["permission", "question", "plan"]
Decision = Literal["allow", "allow_always", "deny"]
Resolution = Literal["allow", "allow_always", "deny", "withdrawn", "interrupted"]
AttentionKind = Literal["prompt", "done", "failed", "cleared"]

# A lower-case UUIDv4, the agent's own id of the session.
AgentSessionId = Annotated[
    str, StringConstraints(pattern=r"^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$")
]
ShortText = Annotated[str, Field(max_length=1000)]
# One that there is not is ``UNSUPPORTED``: a newer client may know more agents.
AgentName = Annotated[str, Field(min_length=1, max_length=100)]


class TextBlock(WireModel):
    type: Literal["text"]
    text: str


class ImageBlock(WireModel):
    """``data`` is base64 of the image."""

    type: Literal["image"]
    media_type: Literal["image/png", "image/jpeg", "image/gif", "image/webp"]
    data: str


ContentBlock = Annotated[TextBlock | ImageBlock, Field(discriminator="type")]
Content = str | list[ContentBlock]


class AgentOptions(WireModel):
    """They hold for the session until they are changed; what is absent stays as it was."""

    model: ShortText | None = None
    permission_mode: PermissionMode | None = None
    allowed_tools: list[ShortText] | None = None
    disallowed_tools: list[ShortText] | None = None
    append_system_prompt: str | None = None
    add_dirs: list[str] | None = None
    max_turns: Annotated[int, Field(ge=1, le=10_000)] | None = None
    mcp_config: dict[str, Any] | None = None
    fallback_model: ShortText | None = None


class AgentCapabilities(Request):
    wire_type: ClassVar[str] = "agent_capabilities"
    agent: AgentName = "claude"


class AgentCommand(msgspec.Struct, frozen=True, rename="camel"):
    """A slash command."""

    name: str
    description: str
    argument_hint: str | UnsetType = UNSET


class AgentModel(msgspec.Struct, frozen=True, rename="camel"):
    """``value`` is what ``options.model`` takes."""

    value: str
    display_name: str
    description: str | UnsetType = UNSET


class AgentCapabilitiesResponse(Response):
    agent: str
    version: str
    commands: list[AgentCommand]
    models: list[AgentModel]
    permission_modes: list[str]


class AgentSessionNew(Request):
    wire_type: ClassVar[str] = "agent_session_new"
    content: Content
    agent: AgentName = "claude"
    options: AgentOptions | None = None


class AgentSessionNewResponse(Response):
    agent_session_id: str
    turn_id: str


class AgentMessage(Request):
    wire_type: ClassVar[str] = "agent_message"
    agent_session_id: AgentSessionId
    content: Content
    options: AgentOptions | None = None


class AgentMessageResponse(Response):
    """``position`` is 0 for what runs at once; those that wait count from 1."""

    turn_id: str
    queued: bool
    position: int


class AgentSessionsList(Request):
    """Last activity first. ``before``: the ``agent_session_id`` of the last session of the page before."""

    wire_type: ClassVar[str] = "agent_sessions_list"
    limit: PageLimit = 50
    before: AgentSessionId | None = None


class AgentSession(msgspec.Struct, frozen=True, rename="camel"):
    agent_session_id: str
    agent: str
    title: str
    created_at: str
    last_activity_at: str
    message_count: int
    state: SessionState
    source: SessionSource


class AgentSessionsListResponse(Response):
    sessions: list[AgentSession]
    more: bool


class AgentCancel(Request):
    """Without ``turn_id`` the running turn is cancelled and the queue emptied; with a waiting turn's, that one goes."""

    wire_type: ClassVar[str] = "agent_cancel"
    agent_session_id: AgentSessionId
    turn_id: ShortText | None = None


class AgentCancelResponse(Response):
    success: bool = True


class AgentPromptResponse(Request):
    """``answers`` maps a question's text to one answer or several."""

    wire_type: ClassVar[str] = "agent_prompt_response"
    agent_session_id: AgentSessionId
    prompt_id: ShortText
    decision: Decision
    message: str | None = None
    updated_input: dict[str, Any] | None = None
    answers: dict[str, str | list[str]] | None = None
    permission_mode: PermissionMode | None = None


class AgentPromptResponseResponse(Response, kw_only=True):
    """``applied``: whether this answer is the one that counts; ``decision`` is the one that stands."""

    success: bool = True
    applied: bool
    decision: Resolution


class Attention(Event, kw_only=True):
    """To all the user's clients, joined or not. ``cleared``: what waited does not wait any more."""

    wire_type: ClassVar[str] = "attention"
    session_id: str
    agent_session_id: str
    kind: AttentionKind
    prompt_id: str | UnsetType = UNSET
    title: str
    at: str


class AttentionList(Request):
    wire_type: ClassVar[str] = "attention_list"


class AttentionItem(msgspec.Struct, frozen=True, rename="camel"):
    """A prompt that waits now. ``kind`` is the prompt's."""

    session_id: str
    agent_session_id: str
    prompt_id: str
    kind: PromptKind
    title: str
    at: str
    tool: str | UnsetType = UNSET


class AttentionListResponse(Response):
    items: list[AttentionItem]
