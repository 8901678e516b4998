"""The agent's sessions as its own store on this machine knows them: begun, or gone on with, in a terminal."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from host.protocol.messages.agent_events import AgentEvent


@dataclass(frozen=True, slots=True)
class TerminalSession:
    """A session in the agent's own store. Times are RFC 3339 UTC.

    ``busy_in`` says where it runs now in words that fit behind "runs in", like "a terminal (process 4711)";
    None when it does not, or when it is this daemon that runs it.
    """

    agent_session_id: str
    agent: str
    title: str
    created_at: str
    last_activity_at: str
    message_count: int
    busy_in: str | None = None


class TerminalSessions(Protocol):
    """What is in the agent's store for a directory, also of sessions that were begun by this daemon."""

    async def list(self, root: Path) -> Sequence[TerminalSession]:
        """All sessions of that directory, in any order. What can't be read is left out."""
        ...

    async def find(self, root: Path, agent_session_id: str) -> TerminalSession | None:
        """One of them; None when the store has none of that id for that directory."""
        ...


@dataclass(frozen=True, slots=True)
class Told:
    """Something that a transcript tells; ``at`` is RFC 3339 UTC. ``is_ours``: a daemon's agent wrote it."""

    turn_id: str
    at: str
    event: AgentEvent
    is_ours: bool


@dataclass(frozen=True, slots=True)
class TranscriptPart:
    """``position`` is where the next part begins, in the agent's own words."""

    events: Sequence[Told]
    position: bytes


class Transcripts(Protocol):
    """What the agent's store tells of a session, in the order in which it was written."""

    async def read_on(self, root: Path, agent_session_id: str, position: bytes) -> TranscriptPart | None:
        """A bounded part of what follows ``position``, b"" for the beginning; None where nothing does.

        Nothing is told twice, also where the transcript was rewritten meanwhile.
        """
        ...
