"""What happened at the door: sign-ins, refusals, revocations. Holds no secret; at most ``MAX_ENTRIES`` of each."""

import time
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from host.core.clock import Clock
from relay_stub.store.database import Database

MAX_ENTRIES: Final = 10_000
_MAX_TEXT_CHARS: Final = 200


class AuditEvent(StrEnum):
    SIGNED_IN = "signed in"
    SIGN_IN_REFUSED = "sign-in refused"
    DEVICE_APPROVED = "device approved"
    DEVICE_DENIED = "device denied"
    CODE_REUSED = "code used twice"
    REFRESH_REUSED = "refresh token used twice"
    REVOKED = "revoked"
    PASSCODE_MADE = "passcode made"
    KEYS_ROTATED = "keys rotated"


@dataclass(frozen=True)
class AuditEntry:
    """``at_s`` is seconds since the epoch. ``who`` and ``address`` are empty where they aren't known."""

    id: int
    at_s: float
    event: str
    who: str
    address: str
    detail: str


class AuditLog:
    def __init__(self, database: Database, *, clock: Clock = time.time) -> None:
        self._database = database
        self._clock = clock

    def record(self, event: AuditEvent, *, who: str = "", address: str = "", detail: str = "") -> None:
        """Keep it, and forget what is older than the last ``MAX_ENTRIES`` of its kind. Texts are cut at 200 characters.

        Of its kind, because strangers cause refusals: with them nobody can wash away who came in.
        """
        texts = [_line(text) for text in (who, address, detail)]
        with self._database.transaction():
            self._database.execute(
                "INSERT INTO audit (at_s, event, who, address, detail) VALUES (?, ?, ?, ?, ?)",
                (self._clock(), event.value, *texts),
            )
            self._database.execute(
                "DELETE FROM audit WHERE event = ? AND id <= "
                "(SELECT id FROM audit WHERE event = ? ORDER BY id DESC LIMIT 1 OFFSET ?)",
                (event.value, event.value, MAX_ENTRIES),
            )

    def last(self, count: int) -> list[AuditEntry]:
        """The newest ``count``, the oldest of them first."""
        rows = self._database.execute(
            "SELECT id, at_s, event, who, address, detail FROM audit ORDER BY id DESC LIMIT ?", (count,)
        ).fetchall()
        return [AuditEntry(*row) for row in reversed(rows)]

    def since(self, entry_id: int) -> list[AuditEntry]:
        """Everything that came after this entry."""
        rows = self._database.execute(
            "SELECT id, at_s, event, who, address, detail FROM audit WHERE id > ? ORDER BY id", (entry_id,)
        )
        return [AuditEntry(*row) for row in rows]


def _line(text: str) -> str:
    """One line of printable characters: what a terminal is sent must not move its cursor."""
    return "".join(char if char.isprintable() else "?" for char in text[:_MAX_TEXT_CHARS])
