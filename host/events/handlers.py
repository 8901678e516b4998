"""events_read: what a client missed."""

from collections.abc import Sequence
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


class StreamSource(Protocol):
    """What knows of events that are not in the log yet."""

    async def prepare(self, stream: str, project_id: str) -> None:
        """Bring them into the log. For a stream that is none of its own there is nothing to do.

        Raises SessionNotFound for another project's stream.
        """
        ...


@dataclass(frozen=True)
class EventHandlers:
    """``sources`` are asked before each read."""

    log: EventLog
    projects: ProjectRoots
    sources: Sequence[StreamSource] = ()

    def register(self, table: RouteTable) -> None:
        table.add(EventsRead, self.read)

    async def read(self, request: EventsRead, context: RequestContext) -> EventsReadResponse:
        await self.projects.root_of(context.project_id)
        for source in self.sources:
            await source.prepare(request.stream, context.project_id)
        return await self.log.read(request.stream, context.project_id, after_seq=request.after_seq, limit=request.limit)
