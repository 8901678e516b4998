"""What the daemon tells the relay about itself."""

import os
import platform
import shutil
import socket
from dataclasses import dataclass

from host.core.settings import Settings
from host.db.projects import Project
from host.projects.naming import shown_path
from host.protocol.limits import MAX_WARNING_CHARS, MAX_WARNINGS, PROTOCOL_VERSION
from host.protocol.messages.system import Capabilities, DaemonRegister, Machine, RegisteredProject


@dataclass(frozen=True)
class MachineFacts:
    """What stays the same while the daemon runs."""

    machine_key: str
    daemon_version: str
    features: tuple[str, ...]


def find_capabilities(
    settings: Settings,
    warnings: tuple[str, ...] = (),
    claude_version: str | None = None,
    search_path: str | None = None,
) -> Capabilities:
    """Look for git, the agent and its session store on this machine. Starts no process.

    ``claude_version`` is known where the agent was asked. ``search_path`` is the PATH of the user's login shell, in
    which programs are run; None for this process's own.
    """
    has_git = shutil.which("git", path=search_path) is not None
    claude = settings.claude_path or shutil.which("claude", path=search_path)
    has_claude = claude_version is not None or (claude is not None and shutil.which(claude) is not None)
    missing = []
    if not has_git:
        missing.append("git was not found. Install it to see and make changes from the phone.")
    return Capabilities(
        has_git=has_git,
        has_claude=has_claude,
        claude_version=claude_version,
        claude_store_found=os.path.isdir(os.path.expanduser("~/.claude/projects")),
        # They may name long paths, and must not keep the machine from registering.
        warnings=tuple(_cut(warning) for warning in (*missing, *warnings)[:MAX_WARNINGS]),
    )


def registered(project: Project, *, watcher_running: bool, last_fs_seq: int) -> RegisteredProject:
    return RegisteredProject(
        project_id=project.project_id,
        name=project.name,
        path=shown_path(project.path),
        created_at=project.created_at,
        last_opened_at=project.last_opened_at,
        watcher_running=watcher_running,
        last_fs_seq=last_fs_seq,
    )


def build_registration(
    facts: MachineFacts,
    *,
    token: str,
    label: str,
    capabilities: Capabilities,
    projects: list[RegisteredProject],
) -> DaemonRegister:
    return DaemonRegister(
        protocol_version=PROTOCOL_VERSION,
        machine_key=facts.machine_key,
        token=token,
        machine=Machine(
            label=label,
            hostname=socket.gethostname(),
            platform=platform.system().lower(),
            arch=platform.machine(),
            daemon_version=facts.daemon_version,
        ),
        features=list(facts.features),
        capabilities=capabilities,
        projects=projects,
    )


def _cut(warning: str) -> str:
    return warning if len(warning) <= MAX_WARNING_CHARS else f"{warning[: MAX_WARNING_CHARS - 1]}…"
