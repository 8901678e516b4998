"""fs_* requests: messages in, messages out."""

from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from msgspec import UNSET

from host.core.requests import RequestContext, RouteTable
from host.db.request_log import UnfinishedRequest
from host.files.service import ProjectFiles
from host.files.temporary import temporary_name
from host.protocol.errors import ProtocolError
from host.protocol.messages.files import (
    FsCreateDir,
    FsDelete,
    FsDone,
    FsList,
    FsListResponse,
    FsMove,
    FsRead,
    FsReadResponse,
    FsWrite,
    FsWriteResponse,
)


class ProjectRoots(Protocol):
    """What files need to know of projects."""

    async def root_of(self, project_id: str) -> Path:
        """The absolute root directory. Raises ProjectNotFound."""
        ...


@dataclass(frozen=True)
class FileHandlers:
    """``seq_for_listing`` says the number of a project's last batch of changes."""

    files: ProjectFiles
    projects: ProjectRoots
    seq_for_listing: Callable[[str], int]

    def register(self, table: RouteTable) -> None:
        table.add(FsList, self.list)
        table.add(FsRead, self.read)
        table.add(FsWrite, self.write)
        table.add(FsCreateDir, self.create_dir)
        table.add(FsMove, self.move)
        table.add(FsDelete, self.delete)

    async def list(self, request: FsList, context: RequestContext) -> FsListResponse:
        root = await self.projects.root_of(context.project_id)
        # Before the directory is read: a change in between is then told again, never missed.
        fs_seq = self.seq_for_listing(context.project_id)
        listing = await self.files.list(root, request.path, depth=request.depth)
        return FsListResponse(path=request.path, children=listing.children, truncated=listing.truncated, fs_seq=fs_seq)

    async def read(self, request: FsRead, context: RequestContext) -> FsReadResponse:
        root = await self.projects.root_of(context.project_id)
        return await self.files.read(root, request.path, offset=request.offset, length=request.length)

    async def write(self, request: FsWrite, context: RequestContext) -> FsWriteResponse:
        root = await self.projects.root_of(context.project_id)
        return await self.files.write(
            root,
            request.path,
            request.content,
            temporary=temporary_name(context.user_id, context.request_id),
            encoding=request.encoding,
            if_match=request.if_match if "if_match" in request.model_fields_set else UNSET,
            create_dirs=request.create_dirs,
        )

    async def create_dir(self, request: FsCreateDir, context: RequestContext) -> FsDone:
        root = await self.projects.root_of(context.project_id)
        await self.files.create_directory(root, request.path)
        return FsDone()

    async def move(self, request: FsMove, context: RequestContext) -> FsDone:
        root = await self.projects.root_of(context.project_id)
        await self.files.move(root, request.from_path, request.to_path, overwrite=request.overwrite)
        return FsDone()

    async def delete(self, request: FsDelete, context: RequestContext) -> FsDone:
        root = await self.projects.root_of(context.project_id)
        await self.files.delete(root, request.path, recursive=request.recursive)
        return FsDone()

    async def clean_up(self, unfinished: Iterable[UnfinishedRequest]) -> None:
        """Remove what writes left that were cut off. What can't be reached any more is left alone."""
        for request in unfinished:
            if request.wire_type == FsWrite.wire_type and request.path is not None:
                with suppress(ProtocolError):
                    root = await self.projects.root_of(request.session_id)
                    temporary = temporary_name(request.user_id, request.request_id)
                    await self.files.remove_temporary(root, request.path, temporary)
