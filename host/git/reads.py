"""What can be asked of a project's repository without changing it, for callers on the event loop."""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, TypeVar

from host.git.branches import read_branches
from host.git.cat_file import ObjectReader
from host.git.diff import compared, read_diff
from host.git.file_base import read_file_base
from host.git.log import read_log
from host.git.reader import Reader
from host.git.refs import commit_of
from host.git.repository import Repositories, Repository
from host.git.runner import Git
from host.git.status import read_status
from host.git.version import version_warning
from host.paths.door import Door
from host.paths.relative import RelativePath, parse_path
from host.protocol.errors import FileAccessFailed, FileNotFound, InvalidRequest, ProtocolError
from host.protocol.messages.git import (
    GitBranchesResponse,
    GitDiff,
    GitDiffResponse,
    GitFileBaseResponse,
    GitLogResponse,
    GitStatusResponse,
)

_TIDY_INTERVAL_S: Final = 30.0

Result = TypeVar("Result")


@dataclass(frozen=True)
class GitReads:
    """Each call is one visit to a thread, and runs nothing that the repository names. None waits for a write.

    Every method raises ProjectRootGone, and what ``Git.read`` and ``Repositories.find`` raise.
    """

    git: Git
    repositories: Repositories
    objects: ObjectReader = field(default_factory=ObjectReader)

    async def status(self, root: Path) -> GitStatusResponse:
        """See ``read_status``."""
        return await self._in(root, read_status)

    async def branches(self, root: Path) -> GitBranchesResponse:
        """See ``read_branches``."""
        return await self._in(root, read_branches)

    async def file_base(self, root: Path, path: str, ref: str) -> GitFileBaseResponse:
        """See ``read_file_base``."""

        commit = commit_of(ref, field="ref")

        def work(git: Reader) -> GitFileBaseResponse:
            with Door(root) as door:
                located = _located(door, path)
            return read_file_base(git, self.repositories.find(git, root), self.objects, located, commit)

        return await self.git.read(work)

    async def diff(self, root: Path, request: GitDiff) -> GitDiffResponse:
        """See ``read_diff``."""
        what = compared(request)

        def work(git: Reader) -> GitDiffResponse:
            with Door(root) as door:
                path = _located(door, request.path or "")
                return read_diff(git, self.repositories.find(git, root), door, path, what)

        return await self.git.read(work)

    async def log(self, root: Path, *, ref: str | None, path: str | None, limit: int, skip: int) -> GitLogResponse:
        """See ``read_log``."""
        commit = commit_of(ref or "HEAD", field="ref")

        def work(git: Reader) -> GitLogResponse:
            with Door(root) as door:
                located = _located(door, path or "")
            repository = self.repositories.find(git, root)
            return read_log(git, repository, commit, located, limit=limit, skip=skip)

        return await self.git.read(work)

    async def warnings(self) -> tuple[str, ...]:
        """What people should know of the machine's git, in sentences."""
        try:
            said = await self.git.version()
        except ProtocolError:
            # There is none, or it can't be run; whoever asks for something is told.
            return ()
        warning = version_warning(said)
        return () if warning is None else (warning,)

    def close(self) -> None:
        """End what was kept. Nothing is read any more."""
        self.git.close()
        self.objects.close()

    async def keep_tidy(self) -> None:
        """End processes that were kept in vain. Runs for ever."""
        while True:
            await asyncio.sleep(_TIDY_INTERVAL_S)
            await asyncio.to_thread(self.objects.end_idle)

    async def _in(self, root: Path, read: Callable[[Reader, Repository], Result]) -> Result:
        return await self.git.read(lambda git: read(git, self.repositories.find(git, root)))


def _located(door: Door, text: str) -> RelativePath:
    """Of a path nothing needs to exist any more. Raises OutsideProjectRoot where links lead out that are there now."""
    path = parse_path(text)
    with suppress(FileNotFound, FileAccessFailed, InvalidRequest), door.entries({"path": path}):
        pass
    return path
