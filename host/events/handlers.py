"""events_read: what a client missed."""

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from host.core.requests import RequestContext, RouteTable
from host.db.event_log import EventLog
from host.protocol.messages.events import EventsRead, EventsReadResponse


class ProjectRoots(Protocol):
    """What reading events needs to know of projects."""

    async def root_of(self, project_id: str) -> Path:
        """Raises ProjectNotFound."""
        ...


@dataclass(frozen=True)
class EventHandlers:
    log: EventLog
    projects: ProjectRoots

    def register(self, table: RouteTable) -> None:
        table.add(EventsRead, self.read)

    async def read(self, request: EventsRead, context: RequestContext) -> EventsReadResponse:
        await self.projects.root_of(context.project_id)
        return await self.log.read(request.stream, context.project_id, after_seq=request.after_seq, limit=request.limit)
