"""Registration, presence and subscription (docs/protocol.md, "Authentication" and "Presence")."""

from typing import Annotated, ClassVar

import msgspec
from pydantic import Field

from host.protocol.limits import MAX_LABEL_CHARS, MAX_PATH_BYTES, MAX_PROJECTS, MAX_WARNING_CHARS, MAX_WARNINGS
from host.protocol.messages.auth import Secret
from host.protocol.messages.base import Event, Request, Response, WireModel

ShortText = Annotated[str, Field(max_length=255)]
WarningText = Annotated[str, Field(max_length=MAX_WARNING_CHARS)]
Identifier = Annotated[str, Field(min_length=1, max_length=128, pattern=r"^[A-Za-z0-9_.:-]+$")]
Sequence = Annotated[int, Field(ge=0, le=2**53)]


class Machine(WireModel):
    label: Annotated[str, Field(min_length=1, max_length=MAX_LABEL_CHARS)]
    hostname: ShortText
    platform: ShortText
    arch: ShortText
    daemon_version: ShortText


class Capabilities(WireModel):
    """What the host can do. ``warnings`` are sentences for people."""

    has_git: bool
    has_claude: bool
    claude_version: ShortText | None = None
    claude_store_found: bool
    warnings: Annotated[tuple[WarningText, ...], Field(max_length=MAX_WARNINGS)] = ()


class RegisteredProject(WireModel):
    project_id: Identifier
    name: ShortText
    # Each byte that is not UTF-8 stands as three characters.
    path: Annotated[str, Field(max_length=3 * MAX_PATH_BYTES)]
    created_at: ShortText
    last_opened_at: ShortText
    watcher_running: bool
    last_fs_seq: Sequence


class DaemonRegister(Request):
    wire_type: ClassVar[str] = "daemon_register"
    protocol_version: int
    machine_key: Identifier
    token: Secret
    machine: Machine
    features: Annotated[list[ShortText], Field(max_length=200)]
    capabilities: Capabilities
    projects: Annotated[list[RegisteredProject], Field(max_length=MAX_PROJECTS)]


class Device(WireModel):
    """The relay keeps the first 100 characters of ``name``: a browser may call itself by more."""

    name: str | None = None


class ClientHello(Request):
    wire_type: ClassVar[str] = "client_hello"
    protocol_version: int
    token: Secret
    device: Device | None = None


class SignedInUser(msgspec.Struct, frozen=True):
    id: str
    login: str


class ConnectionLimits(msgspec.Struct, frozen=True, rename="camel"):
    """What the relay enforces on this connection."""

    max_frame_bytes: int
    max_pending_requests: int
    heartbeat_interval_ms: int
    request_timeout_ms: int


class DaemonRegistered(Response):
    wire_type: ClassVar[str] = "daemon_registered"
    connection_id: str
    user: SignedInUser
    server_time: str
    relay_version: str
    limits: ConnectionLimits


class MachineInfo(msgspec.Struct, frozen=True, rename="camel", kw_only=True):
    """One machine of ``machines_list``. ``capabilities`` is as the daemon sent it."""

    machine_key: str
    label: str
    hostname: str
    platform: str
    arch: str
    daemon_version: str
    protocol_version: int
    features: list[str]
    connected: bool
    last_seen_at: str
    capabilities: msgspec.Raw


class ProjectInfo(msgspec.Struct, frozen=True, rename="camel", kw_only=True):
    """One project of ``projects_list``."""

    project_id: str
    machine_key: str
    connected: bool
    name: str
    path: str
    created_at: str
    last_opened_at: str
    watcher_running: bool
    last_fs_seq: int


class ClientWelcome(Response):
    wire_type: ClassVar[str] = "client_welcome"
    connection_id: str
    user: SignedInUser
    server_time: str
    relay_version: str
    limits: ConnectionLimits
    machines: list[MachineInfo]


class MachinesList(Request):
    wire_type: ClassVar[str] = "machines_list"


class MachinesListResponse(Response):
    machines: list[MachineInfo]


class ProjectsList(Request):
    wire_type: ClassVar[str] = "projects_list"
    machine_key: str | None = None


class ProjectsListResponse(Response):
    projects: list[ProjectInfo]


class ProjectJoin(Request):
    wire_type: ClassVar[str] = "project_join"


class ProjectLeave(Request):
    wire_type: ClassVar[str] = "project_leave"


class Done(Response):
    """Answers with nothing but that it is done: ``{}``."""


class DaemonStatus(Event):
    """A machine came, went or changed its registration."""

    wire_type: ClassVar[str] = "daemon_status"
    machine_key: str
    connected: bool
    label: str
    at: str
