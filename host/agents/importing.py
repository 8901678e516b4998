"""What happened to a session in a terminal, brought into its log: each thing once, behind what is there."""

import re
import sqlite3
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol

from msgspec.structs import replace

from host.agents.fitting import fitted
from host.agents.terminal import TranscriptPart, Transcripts
from host.core.clock import Clock, rfc3339
from host.db.agent_imports import import_events, import_position, is_driven
from host.db.database import Database

_STREAM: Final = re.compile(r"agent:([0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12})")
# As many as a transcript of the largest size has; what is still to come then comes with the next read.
_MAX_PARTS: Final = 32


class ProjectRoots(Protocol):
    """What importing needs to know of projects."""

    async def root_of(self, project_id: str) -> Path:
        """Raises ProjectNotFound."""
        ...


@dataclass(frozen=True)
class TranscriptImport:
    """A source of streams: see ``host.events.handlers.StreamSource``."""

    transcripts: Transcripts
    projects: ProjectRoots
    database: Database
    clock: Clock = time.time

    async def prepare(self, stream: str, project_id: str) -> None:
        """The log has what the session's transcript tells by now. Other streams are no matter of ours.

        Raises ProjectNotFound, and SessionNotFound for another project's session.
        """
        match = _STREAM.fullmatch(stream)
        if match is not None:
            await self._catch_up(match[1], project_id, await self.projects.root_of(project_id))

    async def _catch_up(self, agent_session_id: str, project_id: str, root: Path) -> None:
        for _ in range(_MAX_PARTS):
            position = await self.database.read(lambda connection: import_position(connection, agent_session_id))
            part = await self.transcripts.read_on(root, agent_session_id, position)
            if part is None:
                return
            await self._store(agent_session_id, project_id, position, part)

    async def _store(self, agent_session_id: str, project_id: str, position: bytes, part: TranscriptPart) -> None:
        at = rfc3339(self.clock())

        def store(connection: sqlite3.Connection) -> None:
            # Somebody else who asked at the same time was faster.
            if import_position(connection, agent_session_id) != position:
                return
            known = is_driven(connection, agent_session_id)
            events = [
                fitted(replace(told.event, agent_session_id=agent_session_id, turn_id=told.turn_id, at=told.at))
                for told in part.events
                if not (known and told.is_ours)
            ]
            import_events(connection, project_id, agent_session_id, events, position=part.position, at=at)

        await self.database.write(store)
