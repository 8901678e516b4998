"""Our reads of repositories, for a user who has nothing but a HOME."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

from host.git.reads import GitReads
from host.git.repository import Repositories
from host.git.runner import Git
from host.processes.login_shell import UserEnvironment
from host.processes.runner import ProcessRunner
from tests.support.git_remotes import git_environment


@asynccontextmanager
async def reading(home: Path, extra: Mapping[str, str] | None = None) -> AsyncIterator[GitReads]:
    """``extra`` is added to what the user's login shell told."""
    environment: asyncio.Future[UserEnvironment] = asyncio.get_running_loop().create_future()
    environment.set_result(UserEnvironment({**git_environment(home), **(extra or {})}))
    runner = ProcessRunner()
    reads = GitReads(Git(runner, environment), Repositories())
    try:
        yield reads
    finally:
        reads.close()
        await runner.close()
