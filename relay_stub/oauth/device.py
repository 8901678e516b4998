"""Signing in on a machine without a browser (RFC 8628), in memory: a restart only means to sign in again."""

import secrets
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum

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
from relay_stub.oauth.grant import Grant
from relay_stub.oauth.secret import random_secret, secret_hash

DEVICE_CODE_LIFETIME_S = 600
POLL_INTERVAL_S = 5
MAX_WAITING_DEVICES = 1_000
# With 1,000 of 20^8 codes waiting, a guesser who is at it for the codes' whole life finds one with odds of 1 : 85,000.
MAX_WRONG_USER_CODES = 30
WRONG_USER_CODES_WINDOW_S = 60.0

_USER_CODE_ALPHABET = "BCDFGHJKLMNPQRSTVWXZ"
_USER_CODE_CHARS = 8


class _Decision(Enum):
    WAITING = "waiting"
    APPROVED = "approved"
    DENIED = "denied"


@dataclass
class WaitingDevice:
    """A machine that shows its user code and waits for a person to decide. The first decision counts."""

    client_id: ClientId
    user_code: str
    expires_at_s: float
    interval_s: int = POLL_INTERVAL_S
    last_polled_s: float | None = None
    decision: _Decision = _Decision.WAITING
    user_id: str = ""

    def approve(self, user_id: str) -> None:
        if self.decision is _Decision.WAITING:
            self.decision, self.user_id = _Decision.APPROVED, user_id

    def deny(self) -> None:
        if self.decision is _Decision.WAITING:
            self.decision = _Decision.DENIED


class DeviceFlow:
    """``issue`` begins a session; ``verification_uri`` is asked for the page's address whenever it is told."""

    def __init__(
        self,
        issue: Callable[[Grant], Tokens],
        *,
        verification_uri: Callable[[], str],
        clock: Clock = time.time,
        new_secret: Callable[[], str] = random_secret,
        choose: Callable[[str], str] = secrets.choice,
    ) -> None:
        self._issue = issue
        self._verification_uri = verification_uri
        self._clock = clock
        self._new_secret = new_secret
        self._choose = choose
        # By the device code's hash; the oldest first, which is the first to expire.
        self._devices: dict[bytes, WaitingDevice] = {}
        self._wrong_codes_at_s: deque[float] = deque(maxlen=MAX_WRONG_USER_CODES)

    def authorize(self, request: DeviceAuthorize) -> DeviceAuthorizeResponse:
        """Let a machine wait to be approved. Raises RateLimited while ``MAX_WAITING_DEVICES`` wait."""
        self._forget_expired()
        if len(self._devices) >= MAX_WAITING_DEVICES:
            raise RateLimited(
                "Too many machines are waiting to be signed in. Try again in a minute.", retry_after_ms=60_000
            )
        device_code, user_code = self._new_secret(), self._new_user_code()
        self._devices[secret_hash(device_code)] = WaitingDevice(
            request.client_id, user_code, self._clock() + DEVICE_CODE_LIFETIME_S
        )
        shown_code = f"{user_code[:4]}-{user_code[4:]}"
        verification_uri = self._verification_uri()
        return DeviceAuthorizeResponse(
            device_code=device_code,
            user_code=shown_code,
            verification_uri=verification_uri,
            verification_uri_complete=f"{verification_uri}?user_code={shown_code}",
            expires_in_s=DEVICE_CODE_LIFETIME_S,
            interval_s=POLL_INTERVAL_S,
        )

    def poll(self, request: DeviceToken) -> Tokens:
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
        return self._issue(Grant(device.user_id, device.client_id))

    def find(self, user_code: str) -> WaitingDevice:
        """The undecided device that shows this code, whatever its case and hyphens.

        Raises InvalidRequest if there is none, RateLimited for every code while there were
        ``MAX_WRONG_USER_CODES`` wrong ones in the last minute: whoever guesses one signs another's
        machine in as themselves.
        """
        self._forget_expired()
        self._refuse_guessing()
        wanted = "".join(user_code.upper().replace("-", "").split())
        for device in self._devices.values():
            if device.user_code == wanted and device.decision is _Decision.WAITING:
                return device
        self._wrong_codes_at_s.append(self._clock())
        raise InvalidRequest("This code is not known, or no longer valid. Check it, or begin again on the machine.")

    def _refuse_haste(self, device: WaitingDevice) -> None:
        now_s, last_s = self._clock(), device.last_polled_s
        device.last_polled_s = now_s
        if last_s is not None and now_s - last_s < device.interval_s:
            device.interval_s += POLL_INTERVAL_S
            raise SlowDown(
                f"Asked too often. Wait {device.interval_s} s between two questions.", intervalS=device.interval_s
            )

    def _refuse_guessing(self) -> None:
        is_full = len(self._wrong_codes_at_s) == MAX_WRONG_USER_CODES
        if is_full and self._clock() - self._wrong_codes_at_s[0] < WRONG_USER_CODES_WINDOW_S:
            raise RateLimited("Too many wrong codes were entered. Try again in a minute.", retry_after_ms=60_000)

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
