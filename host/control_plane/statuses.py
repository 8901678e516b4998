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


class ProjectStatus(msgspec.Struct, frozen=True, rename="camel", kw_only=True):
    project_id: str
    name: str
    path: str
    watcher_running: bool
    last_fs_seq: int

    @classmethod
    def of(cls, project: Project, *, watcher_running: bool, last_fs_seq: int) -> "ProjectStatus":
        return cls(
            project_id=project.project_id,
            name=project.name,
            path=shown_path(project.path),
            watcher_running=watcher_running,
            last_fs_seq=last_fs_seq,
        )


class Status(msgspec.Struct, frozen=True, rename="camel", kw_only=True):
    """The whole of ``GET /status``. ``user`` is left out when nobody is signed in."""

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


class MachineLabelResponse(msgspec.Struct, frozen=True, rename="camel", kw_only=True):
    label: str


class ProjectsResponse(msgspec.Struct, frozen=True, rename="camel", kw_only=True):
    projects: list[ProjectStatus]
