"""Commands in projects: few at once in each, every one with a log that outlives the daemon."""

import asyncio
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from host.commands.run import Run
from host.core.requests import RequestContext
from host.db.command_runs import CommandRuns
from host.paths.door import Door
from host.paths.relative import ROOT
from host.processes.environment import command_environment
from host.processes.login_shell import UserEnvironment
from host.processes.runner import Job, ProcessNotStarted, ProcessRunner
from host.processes.running import RunningProcess
from host.protocol.errors import CommandNotStarted, DaemonBusy, SessionNotFound
from host.protocol.limits import MAX_RUNS_AT_ONCE
from host.protocol.messages.commands import CommandExec, CommandExit, CommandRunsListResponse


@dataclass
class Commands:
    """At most ``max_at_once`` in each project.

    ``environment`` is what commands run in, once it is known; ``shell`` the user's own.
    """

    runner: ProcessRunner
    runs: CommandRuns
    shell: str
    environment: "asyncio.Future[UserEnvironment]"
    max_at_once: int = MAX_RUNS_AT_ONCE
    _active: dict[tuple[str, str], Run] = field(default_factory=dict)
    _counts: Counter[str] = field(default_factory=Counter)

    @property
    def running_count(self) -> int:
        """How many commands run, or are about to."""
        return self._counts.total()

    async def run(self, request: CommandExec, root: Path, context: RequestContext) -> CommandExit:
        """Run to the end. Raises DaemonBusy and ProjectRootGone before any effect."""
        project_id, request_id = key = context.project_id, context.request_id
        if self._counts[project_id] >= self.max_at_once:
            raise DaemonBusy(f"{self.max_at_once} commands run in this project already. Wait for one, or cancel it.")
        self._counts[project_id] += 1
        run = Run(request_id, self.runs, context.emit, request.timeout_ms / 1000)
        # From here on it can be cancelled. One of that id which runs already, another user's, keeps its place.
        self._active.setdefault(key, run)
        try:
            usual = (await asyncio.shield(self.environment)).variables
            await self.runs.start(context.user_id, project_id, request_id, request.command)
            return await run.go(lambda: self._start_process(request, usual, root, request_id))
        finally:
            if self._active.get(key) is run:
                del self._active[key]
            self._counts[project_id] -= 1

    async def cancel(self, project_id: str, request_id: str) -> None:
        """End a run; one that has ended stays as it is. Raises SessionNotFound for what never ran here."""
        key = (project_id, request_id)
        if key not in self._active:
            try:
                await self.runs.get(project_id, request_id)
            except SessionNotFound:
                # What came right before this was still being written down; the look into the database came behind that.
                if key not in self._active:
                    raise
        if key in self._active:
            self._active[key].cancel()

    async def list(self, project_id: str, *, limit: int, before: str | None) -> CommandRunsListResponse:
        return await self.runs.list(project_id, limit=limit, before=before)

    async def _start_process(
        self, request: CommandExec, usual: Mapping[str, str], root: Path, request_id: str
    ) -> RunningProcess:
        """Raises CommandNotStarted, InvalidRequest or ProjectRootGone; the run is then forgotten."""
        try:
            environment = command_environment(usual, request.env or {})
            with Door(root) as door, door.directory(ROOT) as directory:
                return await self.runner.start(Job((self.shell, "-c", request.command), environment, directory))
        except ProcessNotStarted as exc:
            await self.runs.discard(request_id)
            raise CommandNotStarted(str(exc)) from exc
        except BaseException:
            await asyncio.shield(self.runs.discard(request_id))
            raise
