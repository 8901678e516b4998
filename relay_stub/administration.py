"""What whoever runs the relay may do to its database, whether or not the relay is running."""

import time
from dataclasses import dataclass

from host.core.clock import Clock
from relay_stub.oauth.identity.passcode import hash_passcode, new_passcode
from relay_stub.store.accounts import Accounts
from relay_stub.store.audit import AuditEvent, AuditLog
from relay_stub.store.database import Database
from relay_stub.store.passcodes import Passcodes
from relay_stub.store.signing_keys import SigningKeys

PASSCODE_PROVIDER = "passcode"


@dataclass(frozen=True)
class Administration:
    """``by`` is who does it, for the audit log. A running relay learns of it within a moment."""

    database: Database
    by: str = "command line"
    clock: Clock = time.time

    @property
    def accounts(self) -> Accounts:
        return Accounts(self.database)

    @property
    def audit(self) -> AuditLog:
        return AuditLog(self.database, clock=self.clock)

    def revoke_session(self, session_id: str) -> bool:
        """End one session; return whether there was one."""
        return self._revoke([record.id for record in self.accounts.sessions() if record.id == session_id]) == 1

    def revoke_user(self, login: str) -> int:
        """End all sessions of everybody called so; return how many."""
        return self._revoke([record.id for record in self.accounts.sessions(login=login)])

    def revoke_provider(self, provider: str) -> int:
        """End all sessions of users that this identity provider vouched for; return how many."""
        return self._revoke([record.id for record in self.accounts.sessions() if record.provider == provider])

    def revoke_all_but(self, provider: str) -> int:
        """End all sessions of users that another identity provider vouched for; return how many."""
        return self._revoke([record.id for record in self.accounts.sessions() if record.provider != provider])

    def has_passcode(self) -> bool:
        return Passcodes(self.database).stored() is not None

    def make_passcode(self) -> str:
        """A new passcode, the only one from now on; ends the sessions that the old one began."""
        passcode = new_passcode()
        made = hash_passcode(passcode)
        Passcodes(self.database).replace(made, at_s=self.clock())
        self.audit.record(AuditEvent.PASSCODE_MADE, detail=self.by)
        self.revoke_provider(PASSCODE_PROVIDER)
        return passcode

    def rotate_keys(self) -> None:
        """A new key signs access tokens; the old one verifies those that it signed until they expire."""
        SigningKeys(self.database).rotate(at_s=self.clock())
        self.audit.record(AuditEvent.KEYS_ROTATED, detail=self.by)

    def _revoke(self, session_ids: list[str]) -> int:
        revoked = 0
        for session_id in session_ids:
            user_id = self.accounts.revoke_session(session_id, at_s=self.clock())
            user = self.accounts.user(user_id) if user_id else None
            if user is not None:
                self.audit.record(AuditEvent.REVOKED, who=user.login, detail=f"{session_id} {self.by}")
                revoked += 1
        return revoked
