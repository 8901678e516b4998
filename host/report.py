"""What the daemon says of itself: to the relay when it registers, and on this machine."""

import asyncio
import os
import shutil
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from msgspec import UNSET, UnsetType

from host.auth.session import Session
from host.auth.token_store import TokenStore
from host.autostart.lookout import AutostartLookout
from host.autostart.port import AutostartState
from host.control_plane.statuses import (
    Activity,
    AgentStatus,
    AutostartStatus,
    Degraded,
    HostCapabilities,
    ProjectStatus,
    RelayStatus,
    Status,
    Storage,
    User,
)
from host.core.clock import rfc3339
from host.core.home import HostPaths
from host.core.settings import Settings
from host.db.database import Database
from host.db.projects import Project
from host.db.quarantine import file_set
from host.features import Features
from host.processes.keeper_process import installation_problem
from host.projects.identity import MachineLabel
from host.projects.registry import ProjectRegistry
from host.protocol.limits import MIB
from host.protocol.messages.system import DaemonRegister
from host.relay.connection_state import State
from host.relay.link import LinkStatus
from host.relay.registration import MachineFacts, build_registration, find_capabilities, registered

_ENOUGH_BYTES: Final = 50 * MIB


@dataclass
class Report:
    """Asked often: it starts no process and waits for none.

    ``start_warnings`` are sentences about what had to be mended at the start.
    """

    paths: HostPaths
    settings: Settings
    database: Database
    registry: ProjectRegistry
    label: MachineLabel
    store: TokenStore
    session: Session
    features: Features
    facts: MachineFacts
    start_warnings: tuple[str, ...]
    autostart: AutostartLookout = field(default_factory=AutostartLookout)
    started_at: str = field(default_factory=lambda: rfc3339(time.time()))

    async def registration(self, token: str) -> DaemonRegister:
        return build_registration(
            self.facts,
            token=token,
            label=self.label.read(),
            # In a thread: programs are looked for in directories that may lie on a slow disk.
            capabilities=await asyncio.to_thread(
                find_capabilities,
                self.settings,
                (*self._host_warnings(), *self.features.watching.warnings),
                self.features.claude.seen().version,
                self.features.search_path,
            ),
            projects=[
                registered(project, watcher_running=watch.is_running, last_fs_seq=watch.last_seq)
                for project in self.registry.all()
                for watch in (self.features.watching.status_of(project.project_id),)
            ],
        )

    def status(self, link: LinkStatus, *, requests: int, outbox_bytes: int, is_stopping: bool) -> Status:
        signed_in = self.session.signed_in()
        capabilities = find_capabilities(
            self.settings, self._host_warnings(), self.features.claude.seen().version, self.features.search_path
        )
        autostart = self.autostart.seen()
        return Status(
            version=self.facts.daemon_version,
            machine_key=self.facts.machine_key,
            machine_label=self.label.read(),
            pid=os.getpid(),
            started_at=self.started_at,
            logged_in=signed_in is not None,
            user=User(signed_in.user_id, signed_in.login) if signed_in else UNSET,
            relay=_relay(link),
            capabilities=HostCapabilities(
                has_git=capabilities.has_git,
                has_claude=capabilities.has_claude,
                claude_version=capabilities.claude_version or UNSET,
                claude_store_found=capabilities.claude_store_found,
                warnings=[*capabilities.warnings, *self.features.watching.warnings],
            ),
            agents=[self._agent()],
            projects=self.projects(),
            stopping=is_stopping,
            activity=self._activity(requests, outbox_bytes),
            storage=Storage(
                database_bytes=_size_bytes(*file_set(self.paths.database)),
                log_bytes=_size_bytes(*self.paths.logs_dir.glob(f"{self.paths.log_file.name}*")),
            ),
            autostart=_autostart(autostart),
            degraded=list(self._degraded(link, autostart, capabilities.warnings)),
        )

    def projects(self) -> list[ProjectStatus]:
        return [self.project(project) for project in self.registry.all()]

    def project(self, project: Project) -> ProjectStatus:
        watch = self.features.watching.status_of(project.project_id)
        return ProjectStatus.of(
            project, watcher_running=watch.is_running, last_fs_seq=watch.last_seq, watcher_problem=watch.problem
        )

    def _agent(self) -> AgentStatus:
        claude, agents = self.features.claude.seen(), self.features.agents
        return AgentStatus(
            name="claude",
            version=claude.version or UNSET,
            signed_in=UNSET if claude.is_signed_in is None else claude.is_signed_in,
            problem=claude.problem or UNSET,
            running=agents.running_count,
            waiting=agents.waiting_count,
        )

    def _activity(self, requests: int, outbox_bytes: int) -> Activity:
        agents = self.features.agents
        return Activity(
            requests=requests,
            commands=self.features.commands.running_count,
            turns=agents.running_count + agents.waiting_count,
            prompts=agents.prompt_count,
            waiting_sessions=agents.waiting_sessions,
            outbox_bytes=outbox_bytes,
        )

    def _degraded(
        self, link: LinkStatus, autostart: AutostartState | None, host_warnings: Sequence[str]
    ) -> Iterator[Degraded]:
        if link.state is not State.CONNECTED:
            yield Degraded(part="relay", reason=link.last_error or "The relay is being dialled.")
        yield from (Degraded(part="watching", reason=warning) for warning in self.features.watching.warnings)
        if (problem := self.features.claude.seen().problem) is not None:
            yield Degraded(part="agent", reason=problem)
        if autostart is not None and autostart.problem is not None:
            yield Degraded(part="autostart", reason=autostart.problem)
        yield from (Degraded(part="host", reason=warning) for warning in host_warnings)

    def _host_warnings(self) -> tuple[str, ...]:
        moved = installation_problem()
        return (
            *self.start_warnings,
            *((moved,) if moved else ()),
            *self._storage_warnings(),
            *self.store.warnings,
            *self.features.warnings,
        )

    def _storage_warnings(self) -> Iterator[str]:
        if self.database.problem is not None:
            yield self.database.problem
        with suppress(OSError):
            if (free_bytes := shutil.disk_usage(self.paths.home).free) < _ENOUGH_BYTES:
                yield (
                    f"Only {free_bytes // MIB} MB are free for {self.paths.home}, and what can't be written down is "
                    "refused. Free some space on that disk."
                )


def _relay(link: LinkStatus) -> RelayStatus:
    return RelayStatus(
        url=link.url,
        state=link.state.value,
        connected=link.state is State.CONNECTED,
        last_connected_at=link.last_connected_at,
        last_heartbeat_at=link.last_heartbeat_at,
        next_try_at=link.next_try_at or UNSET,
        last_error=link.last_error or UNSET,
    )


def _autostart(state: AutostartState | None) -> AutostartStatus | UnsetType:
    return UNSET if state is None else AutostartStatus(enabled=state.enabled, problem=state.problem or UNSET)


def _size_bytes(*files: Path) -> int:
    return sum(_file_bytes(file) for file in files)


def _file_bytes(file: Path) -> int:
    # Logs are rotated, and the database's companions come and go.
    with suppress(OSError):
        return file.stat().st_size
    return 0
