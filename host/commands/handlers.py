"""command_* requests: messages in, messages out."""

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from host.commands.service import Commands
from host.core.requests import RequestContext, RouteTable
from host.protocol.errors import CommandTimeout
from host.protocol.messages.commands import (
    CommandCancel,
    CommandCancelResponse,
    CommandExec,
    CommandExit,
    CommandRunsList,
    CommandRunsListResponse,
)


class ProjectRoots(Protocol):
    async def root_of(self, project_id: str) -> Path:
        """The absolute root directory. Raises ProjectNotFound."""
        ...


@dataclass(frozen=True)
class CommandHandlers:
    commands: Commands
    projects: ProjectRoots

    def register(self, table: RouteTable) -> None:
        table.add(CommandExec, self.execute)
        table.add(CommandCancel, self.cancel)
        table.add(CommandRunsList, self.list_runs)

    async def execute(self, request: CommandExec, context: RequestContext) -> CommandExit:
        root = await self.projects.root_of(context.project_id)
        end = await self.commands.run(request, root, context)
        if end.reason == "timeout":
            # The asker gets the error; the others, and the log, the end.
            context.emit(end, after_answer=True)
            raise CommandTimeout(
                f"The command was ended after {request.timeout_ms / 1000:g} s. "
                "Send a larger timeoutMs if it needs longer.",
                requestId=context.request_id,
                timeoutMs=request.timeout_ms,
            )
        return end

    async def cancel(self, request: CommandCancel, context: RequestContext) -> CommandCancelResponse:
        await self.projects.root_of(context.project_id)
        await self.commands.cancel(context.project_id, request.request_id)
        return CommandCancelResponse()

    async def list_runs(self, request: CommandRunsList, context: RequestContext) -> CommandRunsListResponse:
        await self.projects.root_of(context.project_id)
        return await self.commands.list(context.project_id, limit=request.limit, before=request.before)
