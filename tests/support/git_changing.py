"""Our changes of a repository, for a user who has nothing but a HOME, as requests are handled."""

import asyncio
import itertools
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from host.core.requests import RequestContext
from host.git.changing import Changes
from host.git.handlers import GitWriteHandlers
from host.git.reads import GitReads
from host.git.repository import Repositories
from host.git.runner import Git
from host.processes.login_shell import UserEnvironment
from host.processes.runner import ProcessRunner
from host.protocol.errors import ProtocolError
from host.protocol.messages.base import Event
from host.protocol.messages.git import (
    GitBranchCreate,
    GitBranchCreateResponse,
    GitCheckout,
    GitCheckoutResponse,
    GitCommit,
    GitCommitResponse,
    GitDiscard,
    GitFetch,
    GitProgress,
    GitPull,
    GitPush,
    GitPushResponse,
    GitStage,
    GitStatusResponse,
    GitSynced,
    GitUnstage,
)
from tests.support.git_remotes import Checkout, git_environment


@dataclass
class Asker:
    """A phone that asks for changes of one project. ``progress`` is the text that it was sent meanwhile."""

    root: Path
    handlers: GitWriteHandlers
    reads: GitReads
    progress: list[str] = field(default_factory=list)
    _ids: "itertools.count[int]" = field(default_factory=itertools.count)

    async def stage(self, *paths: str) -> None:
        await self.handlers.stage(GitStage(paths=list(paths)), self._context())

    async def unstage(self, *paths: str) -> None:
        await self.handlers.unstage(GitUnstage(paths=list(paths)), self._context())

    async def discard(self, *paths: str) -> None:
        await self.handlers.discard(GitDiscard(paths=list(paths)), self._context())

    async def commit(self, message: str, *, amend: bool = False) -> GitCommitResponse:
        return await self.handlers.commit(GitCommit(message=message, amend=amend), self._context())

    async def branch_create(self, name: str, **options: Any) -> GitBranchCreateResponse:
        return await self.handlers.branch_create(GitBranchCreate(name=name, **options), self._context())

    async def checkout(self, ref: str) -> GitCheckoutResponse:
        return await self.handlers.checkout(GitCheckout(ref=ref), self._context())

    async def push(self, **options: Any) -> GitPushResponse:
        return await self.handlers.push(GitPush(**options), self._context())

    async def fetch(self, remote: str | None = None) -> GitSynced:
        return await self.handlers.fetch(GitFetch(remote=remote), self._context())

    async def pull(self, remote: str | None = None) -> GitSynced:
        return await self.handlers.pull(GitPull(remote=remote), self._context())

    async def status(self) -> GitStatusResponse:
        return await self.reads.status(self.root)

    def at(self, root: Path) -> "Asker":
        """The same for another project."""
        return Asker(root, GitWriteHandlers(self.handlers.changes, _OneProject(root)), self.reads)

    def _context(self) -> RequestContext:
        return RequestContext("proj_1", f"request-{next(self._ids)}", "user-1", emit=self._emit)

    def _emit(self, event: Event, *, after_answer: bool = False) -> None:
        assert isinstance(event, GitProgress)
        assert not after_answer
        self.progress.append(event.text)


@dataclass(frozen=True)
class _OneProject:
    root: Path

    async def root_of(self, _: str) -> Path:
        return self.root


@asynccontextmanager
async def asking(checkout: Checkout, extra: Mapping[str, str] | None = None) -> AsyncIterator[Asker]:
    """``extra`` is added to what the user's login shell told. At the end nothing may be left running."""
    environment: asyncio.Future[UserEnvironment] = asyncio.get_running_loop().create_future()
    environment.set_result(UserEnvironment({**git_environment(checkout.home), **(extra or {})}))
    runner = ProcessRunner()
    git = Git(runner, environment)
    reads = GitReads(git, Repositories())
    changes = Changes(git, reads.repositories)
    try:
        yield Asker(checkout.path, GitWriteHandlers(changes, _OneProject(checkout.path)), reads)
    finally:
        reads.close()
        await runner.close()


def refused(code: str, reason: str | None = None) -> "pytest.RaisesExc[ProtocolError]":
    """Expects an error of this wire code, and with this ``details.reason``."""

    def fits(error: ProtocolError) -> bool:
        return error.code == code and reason in (None, error.details.get("reason"))

    return pytest.RaisesExc(ProtocolError, check=fits)
