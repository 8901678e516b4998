"""Browsers that were sent to another site to sign in, and what is to happen when they come back."""

import hmac
import time
from dataclasses import dataclass
from typing import Final

from host.core.clock import Clock
from relay_stub.oauth.authorization_request import AuthorizationRequest
from relay_stub.oauth.identity.port import Handover
from relay_stub.oauth.secret import secret_hash

HANDOVER_LIFETIME_S: Final = 600.0
MAX_HANDOVERS: Final = 10_000


@dataclass(frozen=True)
class DeviceApproval:
    """A machine with this user code waits for the person to come back."""

    user_code: str


Purpose = AuthorizationRequest | DeviceApproval


@dataclass(frozen=True)
class _Waiting:
    handover: Handover
    purpose: Purpose
    browser_hash: bytes
    expires_at_s: float


class Handovers:
    """At most ``MAX_HANDOVERS``, in memory; past that the oldest goes early.

    Each belongs to the browser that began it, told by a secret of its own: whoever gets another
    to open the way back signs in nobody.
    """

    def __init__(self, *, clock: Clock = time.time) -> None:
        self._clock = clock
        # By the state's hash; the oldest first.
        self._waiting: dict[bytes, _Waiting] = {}

    def add(self, handover: Handover, purpose: Purpose, *, browser: str) -> None:
        self._forget_expired()
        if len(self._waiting) >= MAX_HANDOVERS:
            del self._waiting[next(iter(self._waiting))]
        expires_at_s = self._clock() + HANDOVER_LIFETIME_S
        waiting = _Waiting(handover, purpose, secret_hash(browser), expires_at_s)
        self._waiting[secret_hash(handover.state)] = waiting

    def take(self, state: str, *, browser: str) -> tuple[Handover, Purpose] | None:
        """What began with this state in this browser, once; None for any other.

        A wrong browser uses nothing up.
        """
        self._forget_expired()
        waiting = self._waiting.get(secret_hash(state))
        if waiting is None or not hmac.compare_digest(waiting.browser_hash, secret_hash(browser)):
            return None
        del self._waiting[secret_hash(state)]
        return waiting.handover, waiting.purpose

    def _forget_expired(self) -> None:
        now_s = self._clock()
        while self._waiting:
            oldest = next(iter(self._waiting))
            if self._waiting[oldest].expires_at_s > now_s:
                return
            del self._waiting[oldest]
