"""What the control plane answers (docs/protocol.md, "Control plane on the host").

Commands read these, so the module loads none of the wire's models.
"""

import msgspec
from msgspec import UNSET, UnsetType

from host.db.projects import Project
from host.projects.naming import shown_path


class User(msgspec.Struct, frozen=True):
    id: str
    login: str


class RelayStatus(msgspec.Struct, frozen=True, rename="camel", kw_only=True):
    """``state`` is disconnected, connecting, connected or reconnecting; ``connected`` means registered.

    The times are RFC 3339, None for what never happened.
    """

    url: str
    state: str
    connected: bool
    last_connected_at: str | None = None
    last_heartbeat_at: str | None = None
    next_try_at: str | UnsetType = UNSET
    last_error: str | UnsetType = UNSET


class HostCapabilities(msgspec.Struct, frozen=True, rename="camel", kw_only=True):
    """``warnings`` are sentences for people."""

    has_git: bool
    has_claude: bool
    claude_version: str | UnsetType = UNSET
    claude_store_found: bool
    warnings: list[str]


class AgentStatus(msgspec.Struct, frozen=True, rename="camel", kw_only=True):
    """``version`` and ``signed_in`` are left out until they are known; ``problem`` is a sentence that says why not.

    ``running``: how many turns run; ``waiting``: how many wait for an answer from somebody.
    """

    name: str
    version: str | UnsetType = UNSET
    signed_in: bool | UnsetType = UNSET
    problem: str | UnsetType = UNSET
    running: int
    waiting: int


class Activity(msgspec.Struct, frozen=True, rename="camel", kw_only=True):
    """What is being done now. ``requests`` counts those that run ``commands``, too.

    ``turns`` run, of which some may wait for answers to ``prompts``; ``waiting_sessions`` have a message for which
    no agent is free. ``outbox_bytes`` wait to be sent to the relay.
    """

    requests: int
    commands: int
    turns: int
    prompts: int
    waiting_sessions: int
    outbox_bytes: int


class Storage(msgspec.Struct, frozen=True, rename="camel", kw_only=True):
    """What our files take on the disk, with all that belongs to them."""

    database_bytes: int
    log_bytes: int


class AutostartStatus(msgspec.Struct, frozen=True, rename="camel", kw_only=True):
    """Whether the system starts the daemon; ``problem`` is a sentence on why it would not work though it is enabled."""

    enabled: bool
    problem: str | UnsetType = UNSET


class Degraded(msgspec.Struct, frozen=True, rename="camel", kw_only=True):
    """A part that does not do all that it should. ``part``: relay, watching, agent, autostart or host.

    ``reason`` is a sentence that says why and what to do.
    """

    part: str
    reason: str


class ProjectStatus(msgspec.Struct, frozen=True, rename="camel", kw_only=True):
    """``watcher_problem`` is a sentence on why changes are not seen, or not all or not at once."""

    project_id: str
    name: str
    path: str
    watcher_running: bool
    last_fs_seq: int
    watcher_problem: str | UnsetType = UNSET

    @classmethod
    def of(
        cls, project: Project, *, watcher_running: bool, last_fs_seq: int, watcher_problem: str | None = None
    ) -> "ProjectStatus":
        return cls(
            project_id=project.project_id,
            name=project.name,
            path=shown_path(project.path),
            watcher_running=watcher_running,
            last_fs_seq=last_fs_seq,
            watcher_problem=watcher_problem or UNSET,
        )


class Status(msgspec.Struct, frozen=True, rename="camel", kw_only=True):
    """The whole of ``GET /status``. ``user`` is left out when nobody is signed in, ``autostart`` until it is known.

    ``stopping``: nothing new is taken on, and what ``activity`` names is waited for.
    """

    version: str
    machine_key: str
    machine_label: str
    pid: int
    started_at: str
    logged_in: bool
    user: User | UnsetType = UNSET
    relay: RelayStatus
    capabilities: HostCapabilities
    agents: list[AgentStatus]
    projects: list[ProjectStatus]
    stopping: bool
    activity: Activity
    storage: Storage
    autostart: AutostartStatus | UnsetType = UNSET
    degraded: list[Degraded]


class MachineLabelResponse(msgspec.Struct, frozen=True, rename="camel", kw_only=True):
    label: str


class ProjectsResponse(msgspec.Struct, frozen=True, rename="camel", kw_only=True):
    projects: list[ProjectStatus]
