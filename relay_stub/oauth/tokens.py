"""Sessions and their tokens: begun by a grant, kept up by refreshing, ended by misuse."""

import hmac
import time
from collections.abc import Callable

from msgspec import UNSET

from host.core.clock import Clock, rfc3339
from host.protocol.errors import Unauthorized
from host.protocol.messages.auth import AuthExchange, TokenRefresh, TokenRevoke, Tokens, UserProfile
from relay_stub.addresses import UNKNOWN
from relay_stub.oauth.access_tokens import AccessClaims, AccessTokens
from relay_stub.oauth.codes import AuthorizationCodes, CodeReplayed
from relay_stub.oauth.grant import Grant
from relay_stub.oauth.secret import random_secret, secret_hash
from relay_stub.store.accounts import Accounts, Session, User, random_id
from relay_stub.store.audit import AuditEvent, AuditLog
from relay_stub.store.signing_keys import SigningKeys

__all__ = ["AccessClaims", "TokenService"]

ACCESS_LIFETIME_S = 15 * 60
SESSION_LIFETIME_S = 90 * 24 * 3600.0
REUSE_GRACE_S = 60.0

OnRevoked = Callable[[str, str], None]


class TokenService:
    """Issues and checks tokens. A refresh token is ``<family>.<secret>``; the family's part stays the same.

    ``on_revoked(user_id, session_id)`` is called right after a session was revoked, once. A
    session ends ``SESSION_LIFETIME_S`` after its last refresh. ``address`` is where a request came from.
    """

    def __init__(
        self,
        accounts: Accounts,
        codes: AuthorizationCodes,
        keys: SigningKeys,
        audit: AuditLog,
        *,
        on_revoked: OnRevoked,
        access_lifetime_s: int = ACCESS_LIFETIME_S,
        clock: Clock = time.time,
        new_secret: Callable[[], str] = random_secret,
        new_id: Callable[[], str] = random_id,
    ) -> None:
        self._accounts = accounts
        self._codes = codes
        self._keys = keys
        self._audit = audit
        self._on_revoked = on_revoked
        self._access_lifetime_s = access_lifetime_s
        self._clock = clock
        self._new_secret = new_secret
        self._new_id = new_id
        self._access = AccessTokens(keys.load(at_s=clock()), lifetime_s=access_lifetime_s, clock=clock, new_id=new_id)
        self._forget_expired_sessions()

    def exchange(self, request: AuthExchange, *, address: str = UNKNOWN) -> Tokens:
        """Begin a session for a code. Raises Unauthorized; a code that comes twice also ends its first session."""
        session_id = self._new_session_id()
        try:
            grant = self._codes.redeem(request, session_id=session_id)
        except CodeReplayed as replay:
            self._revoke_for(AuditEvent.CODE_REUSED, replay.session_id, address)
            raise Unauthorized from replay
        return self._begin(session_id, grant, address)

    def issue(self, grant: Grant, *, address: str = UNKNOWN) -> Tokens:
        """Begin a session for a grant that was checked already."""
        return self._begin(self._new_session_id(), grant, address)

    def refresh(self, request: TokenRefresh, *, address: str = UNKNOWN) -> Tokens:
        """Replace a refresh token by the next one, with a new access token.

        The token before the current one is taken once more within ``REUSE_GRACE_S``, for an answer
        that was lost; what that answer held is void from then on. Any other token that once was of
        the family means that two hold it: the session is revoked. Raises Unauthorized.
        """
        family, _, _ = request.refresh_token.partition(".")
        session = self._live_session_of(family)
        used_hash = secret_hash(request.refresh_token)
        if hmac.compare_digest(used_hash, session.current_hash):
            return self._rotate(session, family, previous_hash=used_hash)
        if self._is_answer_lost(session, used_hash):
            return self._rotate(session, family, previous_hash=None)
        self._revoke_for(AuditEvent.REFRESH_REUSED, session.id, address)
        raise Unauthorized

    def sign_out(self, request: TokenRevoke, *, address: str = UNKNOWN) -> None:
        """End the session that this refresh token is, or was, of. One that is none is as good (RFC 7009, 2.2)."""
        family, _, _ = request.refresh_token.partition(".")
        session = self._accounts.session_of_family(secret_hash(family))
        if session is not None:
            self._revoke_for(AuditEvent.REVOKED, session.id, address, detail="signed out")

    def verify(self, token: str, *, audience: str) -> AccessClaims:
        """Raises Unauthorized for whatever is wrong: the token, its audience, its time, a session that ended."""
        claims = self._access.verify(token, audience=audience)
        if not self._accounts.is_session_valid(claims.session_id):
            raise Unauthorized
        return claims

    def reload_keys(self) -> None:
        """Another program may have rotated them."""
        self._access.use(self._keys.load(at_s=self._clock()))

    def _revoke_for(self, event: AuditEvent, session_id: str, address: str, *, detail: str = "") -> None:
        """End a session: none of its tokens is good for anything any more."""
        user_id = self._accounts.revoke_session(session_id, at_s=self._clock())
        if user_id is None:
            return
        user = self._accounts.user(user_id)
        self._audit.record(
            event, who=user.login if user else "", address=address, detail=f"{session_id} {detail}".rstrip()
        )
        self._on_revoked(user_id, session_id)

    def _begin(self, session_id: str, grant: Grant, address: str) -> Tokens:
        self._forget_expired_sessions()
        family = self._new_secret()
        refresh_token = self._refresh_token(family)
        session = Session(
            id=session_id,
            user_id=grant.user_id,
            client_id=grant.client_id,
            family_hash=secret_hash(family),
            current_hash=secret_hash(refresh_token),
            previous_hash=None,
            last_used_at_s=self._clock(),
            revoked_at_s=None,
        )
        self._accounts.start_session(session, address=address)
        tokens = self._tokens(session, refresh_token)
        detail = f"{session_id} {grant.client_id}"
        self._audit.record(AuditEvent.SIGNED_IN, who=tokens.user.login, address=address, detail=detail)
        return tokens

    def _live_session_of(self, family: str) -> Session:
        session = self._accounts.session_of_family(secret_hash(family))
        if session is None or session.revoked_at_s is not None:
            raise Unauthorized
        if self._clock() >= session.last_used_at_s + SESSION_LIFETIME_S:
            raise Unauthorized
        return session

    def _is_answer_lost(self, session: Session, used_hash: bytes) -> bool:
        if session.previous_hash is None or not hmac.compare_digest(used_hash, session.previous_hash):
            return False
        return self._clock() - session.last_used_at_s <= REUSE_GRACE_S

    def _rotate(self, session: Session, family: str, *, previous_hash: bytes | None) -> Tokens:
        successor = self._refresh_token(family)
        self._accounts.rotate(
            session.id, current_hash=secret_hash(successor), previous_hash=previous_hash, at_s=self._clock()
        )
        return self._tokens(session, successor)

    def _tokens(self, session: Session, refresh_token: str) -> Tokens:
        user = self._accounts.user(session.user_id)
        if user is None:
            raise Unauthorized
        access_token, expires_at_s = self._access.sign(session, user)
        return Tokens(
            access_token=access_token,
            refresh_token=refresh_token,
            expires_at=rfc3339(expires_at_s),
            expires_in_s=self._access_lifetime_s,
            user=_profile(user),
        )

    def _refresh_token(self, family: str) -> str:
        return f"{family}.{self._new_secret()}"

    def _new_session_id(self) -> str:
        return f"ses_{self._new_id()}"

    def _forget_expired_sessions(self) -> None:
        self._accounts.forget_sessions(unused_since_s=self._clock() - SESSION_LIFETIME_S)


def _profile(user: User) -> UserProfile:
    return UserProfile(user.id, user.login, name=user.name or UNSET, avatar_url=user.avatar_url or UNSET)
