"""One change of a repository: alone with it, within a limit, and with errors that say what to do."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, TypeVar

from host.git.finished import Finished
from host.git.locks import RepositoryLocks
from host.git.reader import Reader
from host.git.refusals import refusal
from host.git.repository import Repositories, Repository
from host.git.runner import Git, OnStderr
from host.paths.door import Door
from host.paths.relative import RelativePath
from host.protocol.errors import CommandTimeout, FileNotFound, GitFailed, OutcomeUnknown, ProtocolError

# Together with the wait they stay below what the relay waits for an answer.
LOCAL_TIMEOUT_S: Final = 45.0
NETWORK_TIMEOUT_S: Final = 120.0
# For the changes that came before.
WAIT_S: Final = 8.0

Result = TypeVar("Result")


@dataclass
class Change:
    """While it lasts nobody else changes the ``repository`` through us. ``has_effect``: something of it is done."""

    git: Git
    repository: Repository
    has_effect: bool = False

    async def run(self, *arguments: str | bytes, paths: Sequence[bytes] | None = None, content: bytes = b"") -> None:
        """Run git as in ``Git.write``. Raises what its refusal means."""
        finished = await self.attempt(*arguments, paths=paths, content=content)
        if not finished.is_success:
            raise await self.refusal(finished)

    async def attempt(
        self,
        *arguments: str | bytes,
        paths: Sequence[bytes] | None = None,
        content: bytes = b"",
        on_stderr: OnStderr | None = None,
    ) -> Finished:
        """The same, but a refusal is the caller's to look at."""
        finished = await self.git.write(
            self.repository.root,
            *arguments,
            paths=paths,
            content=content,
            ssh_command=self.repository.configuration.ssh_command,
            on_stderr=on_stderr,
            timeout_s=NETWORK_TIMEOUT_S,
        )
        self.has_effect = self.has_effect or finished.is_success
        return finished

    async def look(self, *arguments: str | bytes) -> Finished:
        """Run a git that only reads."""
        return await self.git.read(lambda reader: self.repository.run(reader, *arguments))

    async def in_thread(self, work: Callable[[], Result]) -> Result:
        """Do what touches the file system."""
        return await self.git.read(lambda _: work(), timeout_s=LOCAL_TIMEOUT_S)

    async def refusal(self, finished: Finished) -> ProtocolError:
        return refusal(finished, prefix=self.repository.prefix, unmerged=await self.unmerged())

    async def unmerged(self) -> list[bytes]:
        """All files in conflict, from the working tree's top: also those outside the project hold things up."""
        listing = await self.look("diff-files", "-z", "--name-only", "--diff-filter=U", "--ignore-submodules=all")
        return list(dict.fromkeys(listing.output().split(b"\0")[:-1]))

    async def find_paths(self, paths: Sequence[RelativePath]) -> list[bytes]:
        """What git calls these paths, from the project's root.

        Raises OutsideProjectRoot for one that links lead out, InvalidRequest for one in ``.git``.
        """
        return await self.git.read(lambda reader: self._found(reader, paths))

    def _found(self, reader: Reader, paths: Sequence[RelativePath]) -> list[bytes]:
        with Door(self.repository.root) as door:
            for path in paths:
                # It may have been deleted, or a file may be where its directory was: git knows.
                with suppress(FileNotFound), door.entries({"paths": path}):
                    pass
        return [self.repository.find_path(reader, path) or b"." for path in paths]


@dataclass(frozen=True)
class Changes:
    """Begins changes of repositories."""

    git: Git
    repositories: Repositories
    locks: RepositoryLocks = field(default_factory=RepositoryLocks)
    wait_s: float = WAIT_S

    @asynccontextmanager
    async def begin(self, root: Path, doing: str, *, timeout_s: float = LOCAL_TIMEOUT_S) -> AsyncIterator[Change]:
        """Wait for the changes before it; ``doing`` is what those behind it are told that they wait for.

        Raises GitNotInitialized, DaemonBusy when its turn does not come, CommandTimeout at the limit: what it runs is
        ended then. OutcomeUnknown: it was done, at least in part, but what came of it can't be told.
        """
        repository, key = await self.git.read(lambda reader: self._find(reader, root))
        async with self.locks.held(key, doing, wait_s=self.wait_s):
            change = Change(self.git, repository)
            try:
                async with asyncio.timeout(timeout_s):
                    yield change
            except TimeoutError as exc:
                raise _ended(doing, timeout_s) from exc
            except GitFailed as exc:
                if change.has_effect and not exc.is_outcome:
                    raise OutcomeUnknown from exc
                raise

    def _find(self, reader: Reader, root: Path) -> tuple[Repository, Path]:
        """The repository, and what its working trees share, by one name for all of them."""
        repository = self.repositories.find(reader, root)
        return repository, repository.common_dir.resolve()


def _ended(doing: str, timeout_s: float) -> CommandTimeout:
    return CommandTimeout(
        f"{doing} took longer than {timeout_s:g} s and was ended, with all that it had started. "
        "Look at git_status to see how far it came, then try again.",
        timeoutMs=round(timeout_s * 1000),
    )
