"""git_* requests: messages in, messages out."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from host.core.requests import RequestContext, RouteTable
from host.git.changing import NETWORK_TIMEOUT_S, Changes
from host.git.checkout import check_out, create_branch
from host.git.commits import commit
from host.git.discard import discard
from host.git.reads import GitReads
from host.git.remotes import fetch, pull, push
from host.git.staging import stage, unstage
from host.paths.relative import RelativePath, parse_path
from host.protocol.messages.git import (
    GitBranchCreate,
    GitBranchCreateResponse,
    GitBranches,
    GitBranchesResponse,
    GitCheckout,
    GitCheckoutResponse,
    GitCommit,
    GitCommitResponse,
    GitDiff,
    GitDiffResponse,
    GitDiscard,
    GitDone,
    GitFetch,
    GitFileBase,
    GitFileBaseResponse,
    GitLog,
    GitLogResponse,
    GitProgress,
    GitPull,
    GitPush,
    GitPushResponse,
    GitStage,
    GitStatus,
    GitStatusResponse,
    GitSynced,
    GitUnstage,
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


@dataclass(frozen=True)
class GitWriteHandlers:
    changes: Changes
    projects: ProjectRoots

    def register(self, table: RouteTable) -> None:
        table.add(GitStage, self.stage)
        table.add(GitUnstage, self.unstage)
        table.add(GitDiscard, self.discard)
        table.add(GitCommit, self.commit)
        table.add(GitBranchCreate, self.branch_create)
        table.add(GitCheckout, self.checkout)
        table.add(GitPush, self.push)
        table.add(GitFetch, self.fetch)
        table.add(GitPull, self.pull)

    async def stage(self, request: GitStage, context: RequestContext) -> GitDone:
        root, paths = await self.projects.root_of(context.project_id), _parsed(request.paths)
        async with self.changes.begin(root, request.wire_type) as change:
            await stage(change, paths)
        return GitDone()

    async def unstage(self, request: GitUnstage, context: RequestContext) -> GitDone:
        root, paths = await self.projects.root_of(context.project_id), _parsed(request.paths)
        async with self.changes.begin(root, request.wire_type) as change:
            await unstage(change, paths)
        return GitDone()

    async def discard(self, request: GitDiscard, context: RequestContext) -> GitDone:
        root, paths = await self.projects.root_of(context.project_id), _parsed(request.paths)
        async with self.changes.begin(root, request.wire_type) as change:
            await discard(change, paths)
        return GitDone()

    async def commit(self, request: GitCommit, context: RequestContext) -> GitCommitResponse:
        root = await self.projects.root_of(context.project_id)
        async with self.changes.begin(root, request.wire_type) as change:
            return await commit(change, request.message, amend=request.amend)

    async def branch_create(self, request: GitBranchCreate, context: RequestContext) -> GitBranchCreateResponse:
        root = await self.projects.root_of(context.project_id)
        async with self.changes.begin(root, request.wire_type) as change:
            return await create_branch(change, request.name, start_point=request.start_point, checkout=request.checkout)

    async def checkout(self, request: GitCheckout, context: RequestContext) -> GitCheckoutResponse:
        root = await self.projects.root_of(context.project_id)
        async with self.changes.begin(root, request.wire_type) as change:
            return await check_out(change, request.ref)

    async def push(self, request: GitPush, context: RequestContext) -> GitPushResponse:
        root = await self.projects.root_of(context.project_id)
        async with self.changes.begin(root, request.wire_type, timeout_s=NETWORK_TIMEOUT_S) as change:
            return await push(change, request, _telling(context))

    async def fetch(self, request: GitFetch, context: RequestContext) -> GitSynced:
        root = await self.projects.root_of(context.project_id)
        async with self.changes.begin(root, request.wire_type, timeout_s=NETWORK_TIMEOUT_S) as change:
            return await fetch(change, request.remote, _telling(context))

    async def pull(self, request: GitPull, context: RequestContext) -> GitSynced:
        root = await self.projects.root_of(context.project_id)
        async with self.changes.begin(root, request.wire_type, timeout_s=NETWORK_TIMEOUT_S) as change:
            return await pull(change, request.remote, _telling(context))


def _parsed(paths: Sequence[str]) -> list[RelativePath]:
    return [parse_path(path, field="paths") for path in paths]


def _telling(context: RequestContext) -> Callable[[str], None]:
    return lambda text: context.emit(GitProgress(request_id=context.request_id, text=text))
