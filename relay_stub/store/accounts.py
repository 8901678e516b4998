"""Who may come in: users and their sessions.

No secret of a user's is stored, only SHA-256 hashes of random ones. Times are seconds since the epoch.
"""

import secrets
from collections.abc import Callable
from dataclasses import dataclass

from relay_stub.addresses import UNKNOWN, network_of
from relay_stub.oauth.identity.port import Identity
from relay_stub.store.database import Database


def random_id() -> str:
    """128 random bits."""
    return secrets.token_hex(16)


@dataclass(frozen=True)
class User:
    id: str
    login: str
    name: str | None
    avatar_url: str | None


@dataclass(frozen=True)
class Session:
    """A sign-in, and the family of refresh tokens that came from it.

    ``previous_hash`` is of the token before the current one, until that was accepted a second
    time; ``last_used_at_s`` is when the current token was issued.
    """

    id: str
    user_id: str
    client_id: str
    family_hash: bytes
    current_hash: bytes
    previous_hash: bytes | None
    last_used_at_s: float
    revoked_at_s: float | None


@dataclass(frozen=True)
class SessionRecord:
    """A session as its user, or whoever runs the relay, wants to see it."""

    id: str
    login: str
    provider: str
    client_id: str
    label: str | None
    created_at_s: float
    last_used_at_s: float
    address: str


class Accounts:
    """``new_id`` makes the random part of a user's id."""

    def __init__(self, database: Database, *, new_id: Callable[[], str] = random_id) -> None:
        self._database = database
        self._new_id = new_id

    def sign_in(self, identity: Identity) -> User:
        """The user of (provider, subject): made the first time, afterwards with the profile brought up to date."""
        row = self._database.execute(
            "INSERT INTO users (id, provider, subject, login, name, avatar_url) VALUES (?, ?, ?, ?, ?, ?) "
            "ON CONFLICT (provider, subject) DO UPDATE SET login = excluded.login, name = excluded.name, "
            "avatar_url = excluded.avatar_url RETURNING id, login, name, avatar_url",
            (
                f"usr_{self._new_id()}",
                identity.provider,
                identity.subject,
                identity.login,
                identity.name,
                identity.avatar_url,
            ),
        ).fetchall()
        return User(*row[0])

    def user(self, user_id: str) -> User | None:
        row = self._database.execute(
            "SELECT id, login, name, avatar_url FROM users WHERE id = ?", (user_id,)
        ).fetchone()
        return User(*row) if row else None

    def users(self) -> list[tuple[User, str, int]]:
        """Everyone who ever signed in, by login: who, by which provider, and with how many sessions now."""
        rows = self._database.execute(
            "SELECT id, login, name, avatar_url, provider, (SELECT count(*) FROM sessions "
            "WHERE user_id = users.id AND revoked_at_s IS NULL) FROM users ORDER BY login, provider, id"
        )
        return [(User(*row[:4]), row[4], row[5]) for row in rows]

    def start_session(self, session: Session, *, address: str) -> None:
        """Raises sqlite3.IntegrityError if there is no such user."""
        self._database.execute(
            "INSERT INTO sessions (id, user_id, client_id, family_hash, current_hash, created_at_s, last_used_at_s, "
            "address) VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            (
                session.id,
                session.user_id,
                session.client_id,
                session.family_hash,
                session.current_hash,
                session.last_used_at_s,
                session.last_used_at_s,
                address,
            ),
        )

    def session_of_family(self, family_hash: bytes) -> Session | None:
        row = self._database.execute(
            "SELECT id, user_id, client_id, family_hash, current_hash, previous_hash, last_used_at_s, revoked_at_s "
            "FROM sessions WHERE family_hash = ?",
            (family_hash,),
        ).fetchone()
        return Session(*row) if row else None

    def rotate(self, session_id: str, *, current_hash: bytes, previous_hash: bytes | None, at_s: float) -> None:
        """From now on these are the session's refresh tokens."""
        self._database.execute(
            "UPDATE sessions SET current_hash = ?, previous_hash = ?, last_used_at_s = ? WHERE id = ?",
            (current_hash, previous_hash, at_s, session_id),
        )

    def sessions(self, *, login: str | None = None) -> list[SessionRecord]:
        """What was not revoked, the last used first; of one user or of all."""
        rows = self._database.execute(
            "SELECT sessions.id, login, provider, client_id, label, created_at_s, last_used_at_s, address "
            "FROM sessions JOIN users ON users.id = user_id "
            "WHERE revoked_at_s IS NULL AND (? IS NULL OR login = ? COLLATE NOCASE) "
            "ORDER BY last_used_at_s DESC, sessions.id",
            (login, login),
        )
        return [SessionRecord(*row) for row in rows]

    def describe_session(self, session_id: str, *, label: str | None, address: str) -> None:
        """Note what uses the session now, and from where."""
        self._database.execute(
            "UPDATE sessions SET label = ?, address = ? WHERE id = ? AND (label IS NOT ? OR address <> ?)",
            (label, address, session_id, label, address),
        )

    def revoke_session(self, session_id: str, *, at_s: float) -> str | None:
        """Return the session's user, or None if it is not known or was revoked before."""
        rows = self._database.execute(
            "UPDATE sessions SET revoked_at_s = ? WHERE id = ? AND revoked_at_s IS NULL RETURNING user_id",
            (at_s, session_id),
        ).fetchall()
        return rows[0][0] if rows else None

    def is_session_valid(self, session_id: str) -> bool:
        """Whether the session is known and not revoked."""
        row = self._database.execute(
            "SELECT 1 FROM sessions WHERE id = ? AND revoked_at_s IS NULL", (session_id,)
        ).fetchone()
        return row is not None

    def is_signed_in_from(self, address: str) -> bool:
        """Whether a session that was not revoked was last used from there, or from the same network."""
        rows = self._database.execute("SELECT DISTINCT address FROM sessions WHERE revoked_at_s IS NULL")
        network = network_of(address)
        return network != UNKNOWN and any(network_of(used_from) == network for (used_from,) in rows)

    def forget_sessions(self, *, unused_since_s: float) -> None:
        """Delete sessions that nobody refreshed since then, revoked ones included."""
        self._database.execute("DELETE FROM sessions WHERE last_used_at_s <= ?", (unused_since_s,))
