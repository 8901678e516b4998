"""Signing in on a machine without a browser (RFC 8628), in memory: a restart only means to sign in again."""

import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from typing import Protocol

from host.core.clock import Clock
from host.protocol.errors import (
    AccessDenied,
    AuthorizationPending,
    ExpiredToken,
    InvalidRequest,
    RateLimited,
    SlowDown,
)
from host.protocol.messages.auth import ClientId, DeviceAuthorize, DeviceAuthorizeResponse, DeviceToken, Tokens
from relay_stub.addresses import UNKNOWN
from relay_stub.oauth.grant import Grant
from relay_stub.oauth.secret import random_secret, secret_hash

DEVICE_CODE_LIFETIME_S = 600
POLL_INTERVAL_S = 5
MAX_WAITING_DEVICES = 1_000

_USER_CODE_ALPHABET = "BCDFGHJKLMNPQRSTVWXZ"
_USER_CODE_CHARS = 8


class _Decision(Enum):
    WAITING = "waiting"
    APPROVED = "approved"
    DENIED = "denied"


@dataclass
class WaitingDevice:
    """A machine that shows its user code and waits for a person to decide. The first decision counts.

    ``address`` is where it asked from.
    """

    client_id: ClientId
    user_code: str
    address: str
    asked_at_s: float
    expires_at_s: float
    interval_s: int = POLL_INTERVAL_S
    last_polled_s: float | None = None
    decision: _Decision = _Decision.WAITING
    user_id: str = ""

    @property
    def shown_code(self) -> str:
        """As the machine shows it: ``XXXX-XXXX``."""
        return f"{self.user_code[:4]}-{self.user_code[4:]}"

    def approve(self, user_id: str) -> None:
        if self.decision is _Decision.WAITING:
            self.decision, self.user_id = _Decision.APPROVED, user_id

    def deny(self) -> None:
        if self.decision is _Decision.WAITING:
            self.decision = _Decision.DENIED


class Issue(Protocol):
    def __call__(self, grant: Grant, *, address: str) -> Tokens: ...


class DeviceFlow:
    """``issue(grant, address=…)`` begins a session."""

    def __init__(
        self,
        issue: Issue,
        *,
        clock: Clock = time.time,
        new_secret: Callable[[], str] = random_secret,
        choose: Callable[[str], str] = secrets.choice,
    ) -> None:
        self._issue = issue
        self._clock = clock
        self._new_secret = new_secret
        self._choose = choose
        # By the device code's hash; the oldest first, which is the first to expire.
        self._devices: dict[bytes, WaitingDevice] = {}

    def authorize(
        self, request: DeviceAuthorize, *, verification_uri: str, address: str = UNKNOWN
    ) -> DeviceAuthorizeResponse:
        """Let a machine wait to be approved at ``verification_uri``.

        Raises RateLimited while ``MAX_WAITING_DEVICES`` wait.
        """
        self._forget_expired()
        if len(self._devices) >= MAX_WAITING_DEVICES:
            raise RateLimited(
                "Too many machines are waiting to be signed in. Try again in a minute.", retry_after_ms=60_000
            )
        device_code, user_code = self._new_secret(), self._new_user_code()
        now_s = self._clock()
        device = WaitingDevice(request.client_id, user_code, address, now_s, now_s + DEVICE_CODE_LIFETIME_S)
        self._devices[secret_hash(device_code)] = device
        return DeviceAuthorizeResponse(
            device_code=device_code,
            user_code=device.shown_code,
            verification_uri=verification_uri,
            verification_uri_complete=f"{verification_uri}?user_code={device.shown_code}",
            expires_in_s=DEVICE_CODE_LIFETIME_S,
            interval_s=POLL_INTERVAL_S,
        )

    def poll(self, request: DeviceToken, *, address: str = UNKNOWN) -> Tokens:
        """Tokens, once, when a person approved. Raises what RFC 8628, section 3.5 names: AuthorizationPending,
        SlowDown (the interval has grown by 5 s), AccessDenied, ExpiredToken (also for a code that never was)."""
        self._forget_expired()
        code_hash = secret_hash(request.device_code)
        device = self._devices.get(code_hash)
        if device is None:
            raise ExpiredToken("The device code has expired or was used. Begin signing in again.")
        self._refuse_haste(device)
        if device.decision is _Decision.WAITING:
            raise AuthorizationPending("Nobody has approved this machine yet. Ask again after the interval.")
        del self._devices[code_hash]
        if device.decision is _Decision.DENIED:
            raise AccessDenied("Signing in was refused in the browser. Begin again if that was a mistake.")
        return self._issue(Grant(device.user_id, device.client_id), address=address)

    def find(self, user_code: str) -> WaitingDevice:
        """The undecided device that shows this code, whatever its case and hyphens.

        Raises InvalidRequest if there is none. Whoever guesses one signs another's machine in as
        themselves, so callers bound how often this is asked: at 3 a second, with 1,000 of 20^8 codes
        waiting, the odds are 1 : 14,000 in the codes' whole life.
        """
        self._forget_expired()
        wanted = "".join(user_code.upper().replace("-", "").split())
        for device in self._devices.values():
            if device.user_code == wanted and device.decision is _Decision.WAITING:
                return device
        raise InvalidRequest("This code is not known, or no longer valid. Check it, or begin again on the machine.")

    def forget_approved(self) -> None:
        """Machines that were let in, and have not yet asked for it, have to begin again."""
        approved = [key for key, device in self._devices.items() if device.decision is _Decision.APPROVED]
        for key in approved:
            del self._devices[key]

    def _refuse_haste(self, device: WaitingDevice) -> None:
        now_s, last_s = self._clock(), device.last_polled_s
        device.last_polled_s = now_s
        if last_s is not None and now_s - last_s < device.interval_s:
            device.interval_s += POLL_INTERVAL_S
            raise SlowDown(
                f"Asked too often. Wait {device.interval_s} s between two questions.", intervalS=device.interval_s
            )

    def _new_user_code(self) -> str:
        taken = {device.user_code for device in self._devices.values()}
        while True:
            code = "".join(self._choose(_USER_CODE_ALPHABET) for _ in range(_USER_CODE_CHARS))
            if code not in taken:
                return code

    def _forget_expired(self) -> None:
        now_s = self._clock()
        while self._devices:
            oldest = next(iter(self._devices))
            if self._devices[oldest].expires_at_s > now_s:
                return
            del self._devices[oldest]
