"""The ``agent_prompts`` table: functions of a connection. What was asked is in the log; here is what became of it."""

import sqlite3
from dataclasses import dataclass

from msgspec import UNSET

from host.protocol.errors import SessionNotFound
from host.protocol.limits import MAX_PAGE_ITEMS
from host.protocol.messages.agent_events import PromptAsked
from host.protocol.messages.agents import AttentionItem, PromptKind, Resolution


@dataclass(frozen=True, slots=True)
class StoredPrompt:
    """``decision`` is None while it waits for an answer."""

    prompt_id: str
    turn_id: str
    kind: PromptKind
    decision: Resolution | None


def add_prompt(connection: sqlite3.Connection, stream_id: int, turn_id: str, asked: PromptAsked, at: str) -> None:
    """It waits from now on. Raises sqlite3.IntegrityError for an id that the session has used."""
    tool = None if asked.tool is UNSET else asked.tool
    connection.execute(
        "INSERT INTO agent_prompts (stream_id, prompt_id, turn_id, kind, tool, asked_at) VALUES (?, ?, ?, ?, ?, ?)",
        (stream_id, asked.prompt_id, turn_id, asked.kind, tool, at),
    )


def get_prompt(connection: sqlite3.Connection, stream_id: int, prompt_id: str) -> StoredPrompt:
    """Raises SessionNotFound for what the session never asked."""
    row = connection.execute(
        "SELECT prompt_id, turn_id, kind, decision FROM agent_prompts WHERE stream_id = ? AND prompt_id = ?",
        (stream_id, prompt_id),
    ).fetchone()
    if row is None:
        raise SessionNotFound("The session asked no such question. It may have been deleted because of its age.")
    return StoredPrompt(*row)


def resolve_prompt(connection: sqlite3.Connection, stream_id: int, prompt_id: str, decision: Resolution) -> bool:
    """The first decision stands. Returns whether this is the one."""
    return (
        connection.execute(
            "UPDATE agent_prompts SET decision = ? WHERE stream_id = ? AND prompt_id = ? AND decision IS NULL",
            (decision, stream_id, prompt_id),
        ).rowcount
        == 1
    )


def waiting_prompts_of(connection: sqlite3.Connection, turn_id: str) -> list[str]:
    """The ids of what a turn asked and nobody answered, the first one first."""
    rows = connection.execute(
        "SELECT prompt_id FROM agent_prompts WHERE turn_id = ? AND decision IS NULL ORDER BY rowid", (turn_id,)
    )
    return [prompt_id for (prompt_id,) in rows]


def waiting_prompts(connection: sqlite3.Connection) -> list[AttentionItem]:
    """What waits for an answer on this machine, the first asked first: at most 1,000."""
    rows = connection.execute(
        "SELECT project_id, agent_session_id, prompt_id, kind, title, asked_at, tool FROM agent_prompts "
        "JOIN agent_sessions USING (stream_id) JOIN streams USING (stream_id) "
        "WHERE decision IS NULL ORDER BY asked_at, agent_prompts.rowid LIMIT ?",
        (MAX_PAGE_ITEMS,),
    )
    return [
        AttentionItem(project_id, session_id, prompt_id, kind, title, asked_at, UNSET if tool is None else tool)
        for project_id, session_id, prompt_id, kind, title, asked_at, tool in rows
    ]
