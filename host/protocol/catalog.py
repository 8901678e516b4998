"""Every wire type that a peer may ask for: its models, who answers, and what it needs.

The relay forwards types it does not know too (a newer daemon, a newer client), so the
rules that hold by a type's name stand here as functions, not as a list of known types.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal

from host.protocol.messages import agents, auth, commands, events, files, git, system
from host.protocol.messages.base import Event, Request, Response

Peer = Literal["client", "daemon", "anyone"]
Answerer = Literal["relay", "daemon"]


@dataclass(frozen=True)
class RequestType:
    """One request. ``changes`` ones are remembered, so that sending them twice does them once."""

    request: type[Request]
    response: type[Response | Event]
    asked_by: Peer
    answered_by: Answerer
    changes: bool = False
    response_type_override: str | None = None

    @property
    def name(self) -> str:
        return self.request.wire_type

    @property
    def response_type(self) -> str:
        return self.response_type_override or f"{self.name}_response"


_ALL: Final = (
    RequestType(auth.AuthExchange, auth.Tokens, "anyone", "relay"),
    RequestType(auth.TokenRefresh, auth.Tokens, "anyone", "relay"),
    RequestType(auth.TokenRevoke, system.Done, "anyone", "relay"),
    RequestType(auth.DeviceAuthorize, auth.DeviceAuthorizeResponse, "anyone", "relay"),
    RequestType(auth.DeviceToken, auth.Tokens, "anyone", "relay"),
    RequestType(
        system.DaemonRegister,
        system.DaemonRegistered,
        "daemon",
        "relay",
        response_type_override=system.DaemonRegistered.wire_type,
    ),
    RequestType(
        system.ClientHello,
        system.ClientWelcome,
        "client",
        "relay",
        response_type_override=system.ClientWelcome.wire_type,
    ),
    RequestType(system.MachinesList, system.MachinesListResponse, "client", "relay"),
    RequestType(system.ProjectsList, system.ProjectsListResponse, "client", "relay"),
    RequestType(system.ProjectJoin, system.Done, "client", "relay"),
    RequestType(system.ProjectLeave, system.Done, "client", "relay"),
    RequestType(files.FsList, files.FsListResponse, "client", "daemon"),
    RequestType(files.FsRead, files.FsReadResponse, "client", "daemon"),
    RequestType(files.FsWrite, files.FsWriteResponse, "client", "daemon", changes=True),
    RequestType(files.FsCreateDir, files.FsDone, "client", "daemon", changes=True),
    RequestType(files.FsMove, files.FsDone, "client", "daemon", changes=True),
    RequestType(files.FsDelete, files.FsDone, "client", "daemon", changes=True),
    RequestType(git.GitStatus, git.GitStatusResponse, "client", "daemon"),
    RequestType(git.GitBranches, git.GitBranchesResponse, "client", "daemon"),
    RequestType(git.GitFileBase, git.GitFileBaseResponse, "client", "daemon"),
    RequestType(git.GitDiff, git.GitDiffResponse, "client", "daemon"),
    RequestType(git.GitLog, git.GitLogResponse, "client", "daemon"),
    RequestType(git.GitStage, git.GitDone, "client", "daemon", changes=True),
    RequestType(git.GitUnstage, git.GitDone, "client", "daemon", changes=True),
    RequestType(git.GitDiscard, git.GitDone, "client", "daemon", changes=True),
    RequestType(git.GitCommit, git.GitCommitResponse, "client", "daemon", changes=True),
    RequestType(git.GitBranchCreate, git.GitBranchCreateResponse, "client", "daemon", changes=True),
    RequestType(git.GitCheckout, git.GitCheckoutResponse, "client", "daemon", changes=True),
    RequestType(git.GitPush, git.GitPushResponse, "client", "daemon", changes=True),
    RequestType(git.GitFetch, git.GitSynced, "client", "daemon", changes=True),
    RequestType(git.GitPull, git.GitSynced, "client", "daemon", changes=True),
    RequestType(
        commands.CommandExec,
        commands.CommandExit,
        "client",
        "daemon",
        changes=True,
        response_type_override=commands.CommandExit.wire_type,
    ),
    RequestType(commands.CommandCancel, commands.CommandCancelResponse, "client", "daemon"),
    RequestType(commands.CommandRunsList, commands.CommandRunsListResponse, "client", "daemon"),
    RequestType(agents.AgentCapabilities, agents.AgentCapabilitiesResponse, "client", "daemon"),
    RequestType(agents.AgentSessionNew, agents.AgentSessionNewResponse, "client", "daemon", changes=True),
    RequestType(agents.AgentMessage, agents.AgentMessageResponse, "client", "daemon", changes=True),
    RequestType(agents.AgentSessionsList, agents.AgentSessionsListResponse, "client", "daemon"),
    RequestType(agents.AgentCancel, agents.AgentCancelResponse, "client", "daemon", changes=True),
    RequestType(agents.AgentPromptResponse, agents.AgentPromptResponseResponse, "client", "daemon", changes=True),
    RequestType(agents.AttentionList, agents.AttentionListResponse, "client", "daemon"),
    RequestType(events.EventsRead, events.EventsReadResponse, "client", "daemon"),
)
CATALOG: Final[Mapping[str, RequestType]] = {entry.name: entry for entry in _ALL}

_PROJECT_PREFIXES: Final = ("fs_", "git_", "command_", "agent_", "events_", "project_")

DEFAULT_TIMEOUT_S: Final = 15.0
_NETWORK_GIT_TIMEOUT_S: Final = 135.0
_GIT_WRITE_TIMEOUT_S: Final = 60.0
_TIMEOUTS_S: Final[Mapping[str, float]] = {
    **dict.fromkeys(("git_push", "git_fetch", "git_pull"), _NETWORK_GIT_TIMEOUT_S),
    **dict.fromkeys(
        ("git_branch_create", "git_checkout", "git_stage", "git_unstage", "git_commit", "git_discard"),
        _GIT_WRITE_TIMEOUT_S,
    ),
}

# The one request whose own limit sets the relay's, and whose end is an event.
COMMAND_EXEC: Final = commands.CommandExec.wire_type
COMMAND_EXIT: Final = commands.CommandExit.wire_type


def needs_project(wire_type: str) -> bool:
    """Whether requests of this type must name a project in ``sessionId``."""
    return wire_type.startswith(_PROJECT_PREFIXES)


def request_timeout_s(wire_type: str, *, default_s: float = DEFAULT_TIMEOUT_S) -> float:
    """How long the relay waits for the terminal message, ``command_exec`` apart."""
    return _TIMEOUTS_S.get(wire_type, default_s)


def is_terminal(wire_type: str, *, request_type: str) -> bool:
    """Whether a message of ``wire_type`` ends a request of ``request_type``."""
    if wire_type == "error" or wire_type == f"{request_type}_response":
        return True
    return request_type == COMMAND_EXEC and wire_type == COMMAND_EXIT
