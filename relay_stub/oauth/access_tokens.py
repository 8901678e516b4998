"""Access tokens: JWTs that the relay signs and only the relay reads (HS256, RFC 7519)."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import jwt

from host.core.clock import Clock
from host.protocol.errors import Unauthorized
from relay_stub.store.accounts import Session, User, random_id
from relay_stub.store.signing_keys import SigningKey

_ALGORITHM = "HS256"
# A running relay may sign with the old key for so long after another program has retired it.
_LEARNING_OF_ROTATION_S = 60.0
_REQUIRED_CLAIMS = ["sub", "aud", "exp", "iat", "jti", "sid", "login"]


@dataclass(frozen=True)
class AccessClaims:
    """What an access token vouches for. ``expires_at_s`` is seconds since the epoch."""

    user_id: str
    login: str
    session_id: str
    client_id: str
    expires_at_s: float


class AccessTokens:
    """Signs with the first key, and accepts each for as long as tokens live that it signed."""

    def __init__(
        self, keys: Sequence[SigningKey], *, lifetime_s: int, clock: Clock, new_id: Callable[[], str] = random_id
    ) -> None:
        self.use(keys)
        self._lifetime_s = lifetime_s
        self._clock = clock
        self._new_id = new_id

    def use(self, keys: Sequence[SigningKey]) -> None:
        """From now on these are the keys."""
        self._current = keys[0]
        self._keys = {key.kid: key for key in keys}

    def sign(self, session: Session, user: User) -> tuple[str, int]:
        """Return the token and when it expires, in seconds since the epoch."""
        issued_at_s = int(self._clock())
        expires_at_s = issued_at_s + self._lifetime_s
        claims = {
            "sub": user.id,
            "aud": session.client_id,
            "exp": expires_at_s,
            "iat": issued_at_s,
            "jti": self._new_id(),
            "sid": session.id,
            "login": user.login,
        }
        token = jwt.encode(claims, self._current.secret, algorithm=_ALGORITHM, headers={"kid": self._current.kid})
        return token, expires_at_s

    def verify(self, token: str, *, audience: str) -> AccessClaims:
        """Raises Unauthorized unless the relay signed this token, for this audience, and it is valid now."""
        try:
            key = self._keys[jwt.get_unverified_header(token)["kid"]]
            claims = jwt.decode(
                token,
                key.secret,
                algorithms=[_ALGORITHM],
                audience=audience,
                # PyJWT would ask the system's clock; the relay's own decides, below.
                options={"require": _REQUIRED_CLAIMS, "verify_exp": False, "verify_iat": False},
            )
        except (jwt.PyJWTError, KeyError, ValueError, RecursionError) as exc:  # the last: deep JSON, PyJWT before 2.15
            raise Unauthorized from exc
        if not claims["iat"] <= self._clock() < min(claims["exp"], self._last_expiry_s(key)):
            raise Unauthorized
        return AccessClaims(
            user_id=claims["sub"],
            login=claims["login"],
            session_id=claims["sid"],
            client_id=claims["aud"],
            expires_at_s=float(claims["exp"]),
        )

    def _last_expiry_s(self, key: SigningKey) -> float:
        """When the last token of the key has expired: whoever has a retired key can't make it good for longer."""
        if key.retired_at_s is None:
            return math.inf
        return key.retired_at_s + self._lifetime_s + _LEARNING_OF_ROTATION_S
