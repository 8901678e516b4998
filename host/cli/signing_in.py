"""Getting tokens from the relay, by a browser here or on any other device, and giving them back."""

import asyncio
import os
import sys
import threading
import time
import webbrowser
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Final, TypeVar

import msgspec

from host.auth.login import LoginFailed, login_attempt
from host.auth.session import printable, stored
from host.auth.token_store import StoredTokens
from host.core.tasks import run_together
from host.protocol.envelope import InvalidEnvelope, NotAMessage, decode_envelope
from host.protocol.errors import ErrorCode
from host.protocol.messages.auth import (
    HOST_CLIENT_ID,
    AuthExchange,
    DeviceAuthorize,
    DeviceAuthorizeResponse,
    DeviceToken,
    TokenRevoke,
    Tokens,
)
from host.protocol.messages.system import Done
from host.relay.calls import CallRefused, RelayCalls
from host.relay.transport import ConnectionLost, Transport, open_transport

_REVOKE_TIMEOUT_S: Final = 5.0
_SHOWN: Final = ("user_code", "verification_uri", "verification_uri_complete")
# RFC 8628, section 3.5
_SLOW_DOWN_S: Final = 5.0
_DEVICE_REFUSALS: Final[Mapping[str, str]] = {
    ErrorCode.ACCESS_DENIED: "The sign-in was refused on the other device.",
    ErrorCode.EXPIRED_TOKEN: "The code was not confirmed in time.",
}

T = TypeVar("T")


def has_browser(environ: Mapping[str, str] = os.environ, platform: str = sys.platform) -> bool:
    """Whether a browser opened by this process is likely to be seen by the user."""
    if "SSH_CONNECTION" in environ or "SSH_TTY" in environ:
        return False
    return platform in ("darwin", "win32") or any(environ.get(name) for name in ("DISPLAY", "WAYLAND_DISPLAY"))


async def sign_in_by_browser(relay_url: str, *, show: Callable[[str], None], open_browser: bool) -> StoredTokens:
    """Let the user sign in at the relay in a browser on this machine; ``show`` gets the URL. Raises LoginFailed."""
    async with login_attempt(relay_url) as attempt:
        show(attempt.url)
        if open_browser:
            # Some browsers keep whoever opened them waiting until they are closed.
            threading.Thread(target=_open, args=(attempt.url,), name="browser", daemon=True).start()
        request = await attempt.exchange()
    return await _exchange(relay_url, request)


def _open(url: str) -> None:
    with suppress(webbrowser.Error):
        webbrowser.open(url)


async def sign_in_by_device(
    relay_url: str,
    *,
    show: Callable[[DeviceAuthorizeResponse], None],
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    monotonic_s: Callable[[], float] = time.monotonic,
) -> StoredTokens:
    """Let the user confirm a code in a browser anywhere (RFC 8628); ``show`` gets it. Raises LoginFailed."""
    device = _Device(show, sleep, monotonic_s)
    while True:
        try:
            return stored(await _ask(relay_url, device.sign_in), relay_url, now_s=time.time())
        except ConnectionLost as exc:
            # The code lives on at the relay, whatever becomes of a connection.
            if device.is_over():
                raise _failed(relay_url, exc) from exc
            await sleep(device.interval_s)
        except CallRefused as exc:
            raise _failed(relay_url, exc) from exc


async def revoke(tokens: StoredTokens) -> bool:
    """Have the relay end the sign-in, within 5 s; return whether it did."""
    request = TokenRevoke(refresh_token=tokens.refresh_token)
    try:
        async with asyncio.timeout(_REVOKE_TIMEOUT_S):
            await _ask(tokens.relay_url, lambda calls: calls.call(request, Done))
    except (CallRefused, ConnectionLost, TimeoutError):
        return False
    return True


@dataclass
class _Device:
    """Asks for a code once, and with it for tokens until it has them, on whatever connection there is."""

    show: Callable[[DeviceAuthorizeResponse], None]
    sleep: Callable[[float], Awaitable[None]]
    monotonic_s: Callable[[], float]
    interval_s: float = 0.0
    _code: str = ""
    _ends_s: float = 0.0

    def is_over(self) -> bool:
        return self.monotonic_s() >= self._ends_s

    async def sign_in(self, calls: RelayCalls) -> Tokens:
        """Raises CallRefused when the answer is no, LoginFailed when there was none in time, and ConnectionLost."""
        if not self._code:
            await self._begin(calls)
            await self.sleep(self.interval_s)
        # On a later connection at once: the relay gives one that has not authenticated 10 s.
        while not self.is_over():
            try:
                return await calls.call(DeviceToken(device_code=self._code), Tokens)
            except CallRefused as exc:
                if exc.code in (ErrorCode.SLOW_DOWN, ErrorCode.RATE_LIMITED):
                    self.interval_s += _SLOW_DOWN_S
                elif exc.code != ErrorCode.AUTHORIZATION_PENDING:
                    raise
            await self.sleep(self.interval_s)
        raise LoginFailed(f"{_DEVICE_REFUSALS[ErrorCode.EXPIRED_TOKEN]} Run pocketcoder login again.")

    async def _begin(self, calls: RelayCalls) -> None:
        answer = await calls.call(DeviceAuthorize(client_id=HOST_CLIENT_ID), DeviceAuthorizeResponse)
        self._code, self.interval_s = answer.device_code, float(answer.interval_s)
        self._ends_s = self.monotonic_s() + answer.expires_in_s
        shown = {name: printable(getattr(answer, name)) for name in _SHOWN}
        self.show(msgspec.structs.replace(answer, **shown))


async def _exchange(relay_url: str, request: AuthExchange) -> StoredTokens:
    try:
        tokens = await _ask(relay_url, lambda calls: calls.call(request, Tokens))
    except (CallRefused, ConnectionLost) as exc:
        raise _failed(relay_url, exc) from exc
    return stored(tokens, relay_url, now_s=time.time())


def _failed(relay_url: str, error: CallRefused | ConnectionLost) -> LoginFailed:
    if isinstance(error, ConnectionLost):
        return LoginFailed(f"{error} Check the address, {relay_url}, and run pocketcoder login again.")
    reason = _DEVICE_REFUSALS.get(error.code, "The relay did not accept the sign-in.")
    if error.code == ErrorCode.RATE_LIMITED:
        reason = "The relay takes no more sign-ins for now. Wait a minute."
    return LoginFailed(f"{reason} Run pocketcoder login again.")


async def _ask(relay_url: str, question: Callable[[RelayCalls], Awaitable[T]]) -> T:
    """Ask on a connection of its own. Raises CallRefused and ConnectionLost."""
    answers: list[T] = []

    async def ask(calls: RelayCalls) -> None:
        answers.append(await question(calls))

    async with open_transport(f"{relay_url}/ws/daemon") as transport:
        calls = RelayCalls(transport.send)
        await run_together(ask(calls), _read(transport, calls))
    return answers[0]


async def _read(transport: Transport, calls: RelayCalls) -> None:
    while True:
        with suppress(NotAMessage, InvalidEnvelope):
            calls.receive(decode_envelope(await transport.receive()))
