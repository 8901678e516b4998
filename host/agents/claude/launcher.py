"""Starting the CLI as the user would: in their environment, and with nothing of ours but what it needs of us."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from host.agents.claude.executable import find_executable
from host.paths.door import Door
from host.paths.relative import ROOT
from host.processes.login_shell import UserEnvironment
from host.processes.runner import Job, ProcessNotStarted, ProcessRunner
from host.processes.running import RunningProcess
from host.protocol.errors import AgentUnavailable

# The second makes sessions appear among those that a terminal offers to resume.
_OURS: Final = {"CLAUDE_CODE_EMIT_SESSION_STATE_EVENTS": "1", "CLAUDE_CODE_ENTRYPOINT": "pocketcoder"}


@dataclass
class Launcher:
    """``environment`` is the user's, once it is known; ``setting`` is POCKETCODER_CLAUDE."""

    runner: ProcessRunner
    environment: "asyncio.Future[UserEnvironment]"
    setting: str | None = None

    async def start(self, root: Path, arguments: Sequence[str], *, wants_stdin: bool = True) -> RunningProcess:
        """Start it in that directory. Raises AgentUnavailable and ProjectRootGone."""
        variables = (await asyncio.shield(self.environment)).variables
        executable = find_executable(self.setting, variables)
        with Door(root) as door, door.directory(ROOT) as directory:
            job = Job((executable, *arguments), {**variables, **_OURS}, directory, wants_stdin)
            try:
                return await self.runner.start(job)
            except ProcessNotStarted as exc:
                raise AgentUnavailable(f"Claude Code did not start. {exc}") from exc
