"""What the phone can do with this machine: the features put together, each with what it needs.

A new feature is added here and nowhere else in the daemon.
"""

import asyncio
import os
from collections.abc import Callable, Coroutine, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final, Protocol, TypeVar

from host.agents.claude.adapter import ClaudeAgent
from host.agents.claude.command_line import Allowances
from host.agents.claude.launcher import Launcher
from host.agents.claude.terminal_sessions import ClaudeTerminalSessions
from host.agents.importing import TranscriptImport
from host.agents.lookout import Lookout
from host.agents.service import AgentService
from host.commands.handlers import CommandHandlers
from host.commands.service import Commands
from host.core.publishing import Publish
from host.core.requests import RouteTable
from host.core.settings import Settings
from host.db.agent_retention import AgentRetention
from host.db.claude_project_dirs import ClaudeProjectDirs
from host.db.command_runs import CommandRuns
from host.db.database import Database
from host.db.event_log import EventLog
from host.db.request_log import RequestLog
from host.events.handlers import EventHandlers
from host.files.handlers import FileHandlers
from host.files.service import ProjectFiles
from host.git.changing import Changes
from host.git.handlers import GitReadHandlers, GitWriteHandlers
from host.git.reads import GitReads
from host.git.repository import Repositories
from host.git.runner import Git
from host.processes.login_shell import user_environment, user_shell
from host.processes.runner import ProcessRunner
from host.projects.registry import ProjectRegistry
from host.protocol.limits import MAX_FILE_THREADS
from host.upkeep import keep_tidy, settle_unfinished
from host.watch.service import Watching
from host.watch.watchers import open_watcher

_DAY_S: Final = 24 * 3600

T = TypeVar("T")


class _Handlers(Protocol):
    def register(self, table: RouteTable) -> None: ...


class Features:
    """Made within the event loop. Settled once, then registered and run, and closed at the end."""

    def __init__(
        self, settings: Settings, database: Database, registry: ProjectRegistry, log: RequestLog, publish: Publish
    ) -> None:
        self._log = log
        self._runs = CommandRuns(database, keep_s=settings.command_days * _DAY_S)
        self._runner = ProcessRunner()
        shell = user_shell(os.environ)
        # Shells can take seconds to start; only the first command waits for it.
        self._environment = asyncio.create_task(user_environment(os.environ, shell))
        # Not the loop's own pool, which ``asyncio.run`` would wait for, also for a thread that hangs on a dead disk.
        executor = ThreadPoolExecutor(MAX_FILE_THREADS, thread_name_prefix="files")
        self.watching = Watching(open_watcher(settings.ignored), registry, database, publish)
        files = ProjectFiles(executor=executor, ignored=settings.ignored)
        self._files = FileHandlers(files, registry, self.watching.seq_for_listing)
        self.commands = Commands(self._runner, self._runs, shell, self._environment, settings.commands_at_once)
        claude = ClaudeAgent(
            Launcher(self._runner, self._environment, settings.claude_path),
            Allowances(settings.allows_bypass_permissions, settings.allows_mcp_config),
        )
        self.claude = Lookout(claude.status)
        terminal = ClaudeTerminalSessions(self._environment, executor, ClaudeProjectDirs(database))
        history = TranscriptImport(terminal, registry, database)
        self.agents = AgentService(database, publish, registry, [claude], terminal, history, settings.agents_at_once)
        registry.on_change(self.agents.projects_changed)
        self._kept = (self._runs, AgentRetention(database, keep_s=settings.agent_days * _DAY_S), log)
        self._git = GitReads(Git(self._runner, self._environment), Repositories())
        self._git_warnings = asyncio.create_task(self._git.warnings())
        self._handlers: Sequence[_Handlers] = (
            self._files,
            CommandHandlers(self.commands, registry),
            GitReadHandlers(self._git, registry),
            GitWriteHandlers(Changes(self._git.git, self._git.repositories), registry),
            self.agents,
            EventHandlers(EventLog(database), registry, [history]),
        )

    @property
    def warnings(self) -> tuple[str, ...]:
        """What people should know of the features, in sentences; but for what ``watching`` itself says."""
        environment = _known(self._environment)
        return (
            *(environment.warnings if environment else ()),
            *(_known(self._git_warnings) or ()),
        )

    @property
    def search_path(self) -> str | None:
        """Where programs are looked for before they are run; None until the login shell has told."""
        environment = _known(self._environment)
        return environment.variables.get("PATH") if environment else None

    def on_search_path(self, listener: Callable[[], None]) -> None:
        """``listener`` is called once ``search_path`` is known."""
        self._environment.add_done_callback(lambda _: listener())

    async def settle(self) -> None:
        """At start, before any request: what a crash cut off gets its end."""
        await settle_unfinished(self._log, self._runs, self._files)
        await self.agents.settle()
        await self.watching.settle()

    def register(self, table: RouteTable) -> None:
        for handlers in self._handlers:
            handlers.register(table)

    def run(self) -> Sequence[Coroutine[Any, Any, None]]:
        """What runs beside the link, until it is cancelled."""
        return (self.watching.run(), keep_tidy(*self._kept), self._git.keep_tidy(), self.agents.run())

    async def wind_down(self) -> None:
        """Wait until nothing runs any more that can end by itself. Bounded by the caller."""
        await self.agents.wind_down()

    async def interrupt(self) -> None:
        """End what was not waited for, and say so while there still is a link."""
        await self.agents.close()

    async def close(self) -> None:
        """End what the features started on this machine. No request runs any more."""
        await self.claude.close()
        await self._runner.close()
        self._git_warnings.cancel()
        self._git.close()
        self._environment.cancel()


def _known(task: "asyncio.Task[T]") -> T | None:
    """What it found out, once it has."""
    return task.result() if task.done() and not task.cancelled() else None
