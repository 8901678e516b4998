"""The ``agent_rules`` table: functions of a connection."""

import sqlite3
from collections.abc import Iterable, Sequence
from typing import Final

# They all become one argument of the agent's program, which holds 128 KiB.
KEPT_RULES_MAX: Final = 500
MAX_RULES_BYTES: Final = 64 * 1024
MAX_RULE_BYTES: Final = 8 * 1024


def add_rules(connection: sqlite3.Connection, project_id: str, agent: str, rules: Iterable[str]) -> None:
    """Keep rules that are not kept already; of too many the oldest go.

    Those of over 8 KiB are not kept, and where the project is gone none is.
    """
    connection.executemany(
        "INSERT INTO agent_rules (project_id, agent, rule) SELECT project_id, ?, ? FROM projects WHERE project_id = ? "
        "ON CONFLICT DO NOTHING",
        [(agent, rule, project_id) for rule in rules if len(rule.encode()) <= MAX_RULE_BYTES],
    )
    connection.execute(
        "DELETE FROM agent_rules WHERE rowid IN (SELECT rowid FROM agent_rules WHERE project_id = ? AND agent = ? "
        "ORDER BY rowid DESC LIMIT -1 OFFSET ?)",
        (project_id, agent, KEPT_RULES_MAX),
    )


def rules_of(connection: sqlite3.Connection, project_id: str, agent: str) -> Sequence[str]:
    """The rules of a project, the oldest first: the newest 64 KiB of them."""
    rows = connection.execute(
        "SELECT rule FROM agent_rules WHERE project_id = ? AND agent = ? ORDER BY rowid DESC", (project_id, agent)
    )
    rules: list[str] = []
    room_bytes = MAX_RULES_BYTES
    for (rule,) in rows:
        room_bytes -= len(rule.encode())
        if room_bytes < 0:
            break
        rules.append(rule)
    return rules[::-1]
