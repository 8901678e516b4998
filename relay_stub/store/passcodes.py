"""The hash of the relay's passcode, where there is one."""

from relay_stub.oauth.identity.passcode import PasscodeHash
from relay_stub.store.database import Database


class Passcodes:
    def __init__(self, database: Database) -> None:
        self._database = database

    def stored(self) -> PasscodeHash | None:
        row = self._database.execute("SELECT salt, digest FROM passcode").fetchone()
        return PasscodeHash(*row) if row else None

    def replace(self, made: PasscodeHash, *, at_s: float) -> None:
        """From now on this is the passcode, and no other."""
        self._database.execute(
            "INSERT OR REPLACE INTO passcode (id, salt, digest, made_at_s) VALUES (1, ?, ?, ?)",
            (made.salt, made.digest, at_s),
        )
