"""The keys that sign access tokens: one signs, retired ones verify for as long as their tokens live."""

import secrets
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from relay_stub.store.accounts import random_id
from relay_stub.store.database import Database

_KEY_BYTES: Final = 32
# No access token lives longer (``pocketcoder-relay serve --access-lifetime-s``).
MAX_ACCESS_LIFETIME_S: Final = 86_400


@dataclass(frozen=True)
class SigningKey:
    """``retired_at_s`` is when another took its place, in seconds since the epoch."""

    kid: str
    secret: bytes
    retired_at_s: float | None = None


class SigningKeys:
    """``new_id`` makes a key's id."""

    def __init__(self, database: Database, *, new_id: Callable[[], str] = random_id) -> None:
        self._database = database
        self._new_id = new_id

    def load(self, *, at_s: float) -> list[SigningKey]:
        """The one that signs first, made if there is none. Keys whose tokens have all expired are deleted."""
        self._database.execute("DELETE FROM signing_keys WHERE retired_at_s < ?", (at_s - 2 * MAX_ACCESS_LIFETIME_S,))
        self._database.execute(
            "INSERT INTO signing_keys (kid, secret, created_at_s) SELECT ?, ?, ? "
            "WHERE NOT EXISTS (SELECT 1 FROM signing_keys WHERE retired_at_s IS NULL)",
            (self._new_id(), secrets.token_bytes(_KEY_BYTES), at_s),
        )
        rows = self._database.execute(
            "SELECT kid, secret, retired_at_s FROM signing_keys ORDER BY retired_at_s IS NOT NULL, created_at_s DESC"
        )
        return [SigningKey(*row) for row in rows]

    def rotate(self, *, at_s: float) -> None:
        """Retire what signs now; a new key takes its place."""
        with self._database.transaction():
            self._database.execute("UPDATE signing_keys SET retired_at_s = ? WHERE retired_at_s IS NULL", (at_s,))
            self._database.execute(
                "INSERT INTO signing_keys (kid, secret, created_at_s) VALUES (?, ?, ?)",
                (self._new_id(), secrets.token_bytes(_KEY_BYTES), at_s),
            )
