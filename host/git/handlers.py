"""git_* requests that read: messages in, messages out."""

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from host.core.requests import RequestContext, RouteTable
from host.git.reads import GitReads
from host.protocol.messages.git import (
    GitBranches,
    GitBranchesResponse,
    GitDiff,
    GitDiffResponse,
    GitFileBase,
    GitFileBaseResponse,
    GitLog,
    GitLogResponse,
    GitStatus,
    GitStatusResponse,
)


class ProjectRoots(Protocol):
    async def root_of(self, project_id: str) -> Path:
        """The absolute root directory. Raises ProjectNotFound."""
        ...


@dataclass(frozen=True)
class GitReadHandlers:
    reads: GitReads
    projects: ProjectRoots

    def register(self, table: RouteTable) -> None:
        table.add(GitStatus, self.status)
        table.add(GitBranches, self.branches)
        table.add(GitFileBase, self.file_base)
        table.add(GitDiff, self.diff)
        table.add(GitLog, self.log)

    async def status(self, _: GitStatus, context: RequestContext) -> GitStatusResponse:
        return await self.reads.status(await self.projects.root_of(context.project_id))

    async def branches(self, _: GitBranches, context: RequestContext) -> GitBranchesResponse:
        return await self.reads.branches(await self.projects.root_of(context.project_id))

    async def file_base(self, request: GitFileBase, context: RequestContext) -> GitFileBaseResponse:
        root = await self.projects.root_of(context.project_id)
        return await self.reads.file_base(root, request.path, request.ref)

    async def diff(self, request: GitDiff, context: RequestContext) -> GitDiffResponse:
        return await self.reads.diff(await self.projects.root_of(context.project_id), request)

    async def log(self, request: GitLog, context: RequestContext) -> GitLogResponse:
        root = await self.projects.root_of(context.project_id)
        return await self.reads.log(root, ref=request.ref, path=request.path, limit=request.limit, skip=request.skip)
