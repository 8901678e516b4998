"""Authorization codes (RFC 6749, section 4.1; RFC 7636), in memory: a restart only means to sign in again."""

import base64
import hmac
import time
from collections.abc import Callable
from dataclasses import dataclass

from host.core.clock import Clock
from host.protocol.errors import Unauthorized
from host.protocol.messages.auth import AuthExchange
from relay_stub.oauth.grant import Grant
from relay_stub.oauth.secret import random_secret, secret_hash

CODE_LIFETIME_S = 60.0
MAX_CODES = 10_000


class CodeReplayed(Unauthorized):
    """The code was used before, for ``session_id``: someone else has seen it."""

    def __init__(self, session_id: str) -> None:
        super().__init__()
        self.session_id = session_id


@dataclass
class _Code:
    grant: Grant
    redirect_uri: str
    challenge: str
    expires_at_s: float
    used_for: str | None = None

    def admits(self, request: AuthExchange) -> bool:
        right_verifier = hmac.compare_digest(_s256(request.code_verifier), self.challenge.encode())
        right_redirect = hmac.compare_digest(request.redirect_uri.encode(), self.redirect_uri.encode())
        return right_verifier and right_redirect


class AuthorizationCodes:
    """At most ``max_codes`` at a time, each for ``CODE_LIFETIME_S``; past that the oldest goes early."""

    def __init__(
        self,
        *,
        max_codes: int = MAX_CODES,
        clock: Clock = time.time,
        new_secret: Callable[[], str] = random_secret,
    ) -> None:
        self._max_codes = max_codes
        self._clock = clock
        self._new_secret = new_secret
        # By the code's hash, so that how long a look-up takes tells nothing of the code; oldest first.
        self._codes: dict[bytes, _Code] = {}

    def issue(self, grant: Grant, *, redirect_uri: str, challenge: str) -> str:
        """A code for whoever knows the verifier of this S256 ``challenge`` and names the same redirect URI."""
        self._forget_expired()
        if len(self._codes) >= self._max_codes:
            del self._codes[next(iter(self._codes))]
        code = self._new_secret()
        self._codes[secret_hash(code)] = _Code(grant, redirect_uri, challenge, self._clock() + CODE_LIFETIME_S)
        return code

    def redeem(self, request: AuthExchange, *, session_id: str) -> Grant:
        """Use the code up for this session, whether or not the rest of the request is right.

        Raises CodeReplayed if it was used before, Unauthorized for anything else that is wrong.
        """
        self._forget_expired()
        code = self._codes.get(secret_hash(request.code))
        if code is None:
            raise Unauthorized
        if code.used_for is not None:
            raise CodeReplayed(code.used_for)
        code.used_for = session_id
        if not code.admits(request):
            raise Unauthorized
        return code.grant

    def forget_all(self) -> None:
        """Whoever is about to come in has to begin again."""
        self._codes.clear()

    def _forget_expired(self) -> None:
        now_s = self._clock()
        while self._codes:
            oldest = next(iter(self._codes))
            if self._codes[oldest].expires_at_s > now_s:
                return
            del self._codes[oldest]


def _s256(verifier: str) -> bytes:
    return base64.urlsafe_b64encode(secret_hash(verifier)).rstrip(b"=")
