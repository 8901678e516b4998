"""What happens in sessions: logged first, then told to the user's clients."""

import logging
import sqlite3
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from msgspec import UNSET, UnsetType

from host.core.clock import Clock, rfc3339
from host.core.publishing import Publish
from host.db.agent_sessions import StoredSession
from host.db.database import Database
from host.protocol.messages.agent_events import AgentEvent, DoneReason, PromptAsked, PromptResolved, TurnDone, TurnError
from host.protocol.messages.agents import Attention, AttentionKind

logger = logging.getLogger(__name__)

# Who cancelled it knows.
_ATTENTION_OF_END: Final[dict[DoneReason, AttentionKind]] = {
    "completed": "done",
    "failed": "failed",
    "interrupted": "failed",
}


@dataclass(frozen=True)
class Journal:
    database: Database
    publish: Publish
    clock: Clock = time.time

    def now(self) -> str:
        return rfc3339(self.clock())

    async def write(
        self, session: StoredSession, step: Callable[[sqlite3.Connection, str], Sequence[AgentEvent]]
    ) -> None:
        """Run a step that logs events, given the time, and tell them. Raises a DatabaseError, with nothing told."""
        self.tell(session, await self.database.write(lambda connection: step(connection, self.now())))

    def tell(self, session: StoredSession, events: Sequence[AgentEvent]) -> None:
        """Send events that are in the log, each followed by the attention that it asks for."""
        for event in events:
            if isinstance(event, TurnError):
                logger.warning(
                    "A turn of session %s failed. %s: %s", session.agent_session_id, event.code, event.message
                )
            self.publish(session.project_id, event)
            attention = attention_of(session, event)
            if attention is not None:
                self.publish(session.project_id, attention)


def attention_of(session: StoredSession, event: AgentEvent) -> Attention | None:
    """What all of the user's clients are told of a logged event."""
    match event:
        case PromptAsked(prompt_id=prompt_id):
            return _attention(session, event, "prompt", prompt_id)
        case PromptResolved(prompt_id=prompt_id):
            return _attention(session, event, "cleared", prompt_id)
        case TurnDone(reason=reason) if reason in _ATTENTION_OF_END:
            return _attention(session, event, _ATTENTION_OF_END[reason])
    return None


def _attention(
    session: StoredSession, event: AgentEvent, kind: AttentionKind, prompt_id: str | UnsetType = UNSET
) -> Attention:
    return Attention(
        session_id=session.project_id,
        agent_session_id=session.agent_session_id,
        kind=kind,
        prompt_id=prompt_id,
        title=session.title,
        at=str(event.at),
    )
