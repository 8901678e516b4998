"""The link to the relay: one supervised loop over connecting, registering, serving and waiting.

Whatever goes wrong on the way (DNS, TLS, HTTP, a refused token, a refused registration, a
broken connection) leads to the next try. Three things end the trying until somebody acts,
and each says what to do: replaced by another daemon, a version not spoken, nobody signed in.
"""

import asyncio
import logging
import os
import random
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import AbstractAsyncContextManager, suppress
from dataclasses import dataclass, field
from typing import Final

from host.auth.keyring_vault import VaultUnusable
from host.auth.session import NoRoomForTokens, Session, SignedOut
from host.core.backoff import backoff_delays_s
from host.core.clock import asleep_s, rfc3339
from host.core.errors import system_refusal
from host.core.tasks import run_together
from host.protocol.close_codes import CloseCode
from host.protocol.envelope import Envelope, InvalidEnvelope, NotAMessage, decode_envelope
from host.protocol.limits import PROTOCOL_VERSION, RECONNECT_STABLE_S
from host.protocol.messages.base import Response
from host.protocol.messages.system import DaemonRegister, SignedInUser
from host.relay.calls import CallRefused, RelayCalls
from host.relay.connection_state import Signal, State, advance
from host.relay.outbox import Outbox
from host.relay.transport import ConnectionLost, Transport, open_transport

logger = logging.getLogger(__name__)

# How often auth.json is looked at while nobody is signed in.
_LOOK_INTERVAL_S: Final = 2.0
# A token is not renewed more often than this, whatever its life.
_MIN_RENEW_INTERVAL_S: Final = 1.0
# After a sleep that long the relay has given the connection up, though nothing here says so.
_SLEEP_S: Final = 30.0
_WAKE_INTERVAL_S: Final = 5.0

_FINAL: Final = {
    CloseCode.REPLACED: (
        "Another daemon registered with this machine's key, so this one stays disconnected. "
        "Stop the other one, then run: pocketcoder start"
    ),
    # This is the protocol's first version: who does not speak it speaks a later one.
    CloseCode.VERSION_NOT_SPOKEN: (
        f"The relay does not speak version {PROTOCOL_VERSION} of the protocol any more. Upgrade pocketcoder on this "
        "machine, then run: pocketcoder start"
    ),
}


@dataclass
class LinkStatus:
    """What people are told of the link. Times are RFC 3339; None is "never" or "not now"."""

    url: str
    state: State = State.DISCONNECTED
    last_connected_at: str | None = None
    last_heartbeat_at: str | None = None
    next_try_at: str | None = None
    last_error: str | None = None


class _Registered(Response):
    """What the link needs of a ``daemon_registered``. What a relay's ``limits`` are is its own affair."""

    user: SignedInUser


class GivenUp(Exception):
    """Trying on would not help until somebody acts. The message says what to do."""


@dataclass
class Link:
    """Runs until cancelled. ``accept`` gets each request that arrives, and must not wait."""

    session: Session
    outbox: Outbox
    registration: Callable[[str], Awaitable[DaemonRegister]]
    accept: Callable[[Envelope], None]
    connect: Callable[[str], AbstractAsyncContextManager[Transport]] = open_transport
    jitter: Callable[[], float] = random.random
    now_s: Callable[[], float] = time.time
    monotonic_s: Callable[[], float] = time.monotonic
    asleep_s: Callable[[], float] = asleep_s
    user_id: str = ""
    _status: LinkStatus = field(init=False)
    _transport: Transport | None = None
    _changed: asyncio.Event = field(default_factory=asyncio.Event)
    _asked: asyncio.Event = field(default_factory=asyncio.Event)
    _delays_s: Iterator[float] = field(init=False)

    def __post_init__(self) -> None:
        self._status = LinkStatus(self.session.relay_url())
        self._delays_s = backoff_delays_s(self.jitter)

    @property
    def status(self) -> LinkStatus:
        self._note_heartbeat()
        return self._status

    def changed(self) -> None:
        """Projects or label changed: register again, if there is a connection."""
        self._changed.set()

    def try_now(self) -> None:
        """Somebody asks for it: register again, or try to connect at once, also after giving up."""
        self._changed.set()
        self._asked.set()

    async def run(self) -> None:
        try:
            await run_together(self._try_for_ever(), self._redial_after_sleep())
        finally:
            self._advance(Signal.GIVE_UP)

    async def _try_for_ever(self) -> None:
        while True:
            await self._try_once()

    async def _redial_after_sleep(self) -> None:
        """The heartbeat would need up to 40 s to find out, and the wait for the next try goes on where it was."""
        noticed_s = self.asleep_s()
        while True:
            await asyncio.sleep(_WAKE_INTERVAL_S)
            if (slept_s := self.asleep_s() - noticed_s) > _SLEEP_S:
                noticed_s += slept_s
                if self._status.state is State.DISCONNECTED:
                    continue  # It was given up until somebody acts, and a sleep is not that.
                logger.info("This machine slept for %.0f s; the relay is dialled again", slept_s)
                self._delays_s = backoff_delays_s(self.jitter)
                self._asked.set()
                if self._transport is not None:
                    self._transport.abort()

    async def _try_once(self) -> None:
        """One connection from beginning to end, and the wait after it."""
        self._asked.clear()
        stamp = self.session.stamp()
        try:
            self._status.url = self.session.relay_url()
            await self.session.load()
            self.user_id = self.session.current().user_id
            self._advance(Signal.TRY)
            await self._connect()
        except SignedOut as exc:
            await self._wait_for_somebody(str(exc), lambda: self.session.stamp() != stamp)
        except GivenUp as exc:
            await self._wait_for_somebody(str(exc), lambda: False)
        except (ConnectionLost, CallRefused, VaultUnusable, NoRoomForTokens) as exc:
            await self._wait_for_next_try(str(exc))
        except Exception as exc:
            # An auth.json that can't be read: it must not end the daemon.
            logger.exception("The link failed")
            await self._wait_for_next_try(_what_failed(exc))

    async def _connect(self) -> None:
        try:
            async with self.connect(f"{self._status.url}/ws/daemon") as transport:
                calls = RelayCalls(transport.send)
                self._transport = transport
                await run_together(
                    # First: that the sign-in is over says more than the close that comes with it.
                    self._stay_registered(calls),
                    self._read(transport, calls),
                    self._write(transport),
                    transport.keep_alive(),
                )
        except (ConnectionLost, CallRefused) as exc:
            # A refusal is followed by a close, and the close says what is to be done.
            code = self._transport.close_code if self._transport is not None else None
            if code in _FINAL:
                raise GivenUp(_FINAL[CloseCode(code)]) from exc
            if code == CloseCode.NOT_AUTHENTICATED:
                self.session.distrust()
            raise
        finally:
            self._note_heartbeat()
            self._transport = None
            self.outbox.close()

    async def _read(self, transport: Transport, calls: RelayCalls) -> None:
        while True:
            frame = await transport.receive()
            try:
                envelope = decode_envelope(frame)
            except (NotAMessage, InvalidEnvelope):
                logger.warning("The relay sent something that is no message; it was dropped")
                continue
            if not calls.receive(envelope):
                self.accept(envelope)

    async def _write(self, transport: Transport) -> None:
        while True:
            await transport.send(await self.outbox.take())

    async def _stay_registered(self, calls: RelayCalls) -> None:
        """Register, then again whenever something changed or the token is due, for as long as the connection lives."""
        await self._register(calls)
        self.outbox.open()
        connected_s = self.monotonic_s()
        while True:
            stable_in_s = connected_s + RECONNECT_STABLE_S - self.monotonic_s()
            wait_s = max(self.session.renew_in_s(), _MIN_RENEW_INTERVAL_S)
            if stable_in_s > 0:
                wait_s = min(wait_s, stable_in_s)
            else:
                self._delays_s = backoff_delays_s(self.jitter)
            is_due = await _woken(self._changed, wait_s)
            await self.session.load()
            if is_due or self.session.renew_in_s() == 0:
                await self._register(calls)

    async def _register(self, calls: RelayCalls) -> None:
        # Cleared before the facts are gathered: what changes from here on is sent next time.
        self._changed.clear()
        await self.session.load()
        if self.session.relay_url() != self._status.url:
            raise ConnectionLost("The sign-in is now for another relay.")
        if self.session.current().user_id != self.user_id:
            raise ConnectionLost("The sign-in is now another user's.")
        token = await self._token(calls)
        try:
            registered = await calls.call(await self.registration(token), _Registered)
        except CallRefused as exc:
            if exc.is_unauthorized:
                self.session.distrust()
            raise
        if self._status.state is not State.CONNECTED:
            logger.info("Connected to %s as %s", self._status.url, registered.user.login)
            self._status.last_connected_at = rfc3339(self.now_s())
        self._advance(Signal.REGISTERED)
        self._status.last_error = None
        self._asked.clear()

    async def _token(self, calls: RelayCalls) -> str:
        try:
            return await self.session.access_token(calls)
        except CallRefused as exc:
            # In answer to token_refresh, and to nothing else, this means that the sign-in is over.
            if exc.is_unauthorized:
                self.session.refused()
                self.session.current()
            raise

    async def _wait_for_next_try(self, reason: str) -> None:
        # A failure ahead of the try is told as one of trying.
        self._advance(Signal.TRY if self._status.state is State.DISCONNECTED else Signal.LOST)
        delay_s = next(self._delays_s)
        self._status.last_error = reason
        self._status.next_try_at = rfc3339(self.now_s() + delay_s)
        logger.warning("%s Next try in %.1f s.", reason, delay_s)
        await _woken(self._asked, delay_s)
        self._status.next_try_at = None

    async def _wait_for_somebody(self, reason: str, has_helped: Callable[[], bool]) -> None:
        """Wait for ``try_now``, or until ``has_helped``, which is looked at every 2 s."""
        self._advance(Signal.GIVE_UP)
        self._status.last_error = reason
        logger.warning("%s", reason)
        while not await _woken(self._asked, _LOOK_INTERVAL_S):
            if has_helped():
                return

    def _note_heartbeat(self) -> None:
        if self._transport is not None:
            self._status.last_heartbeat_at = rfc3339(self._transport.received_at_s)

    def _advance(self, signal: Signal) -> None:
        self._status.state = advance(self._status.state, signal)


def _what_failed(fault: Exception) -> str:
    """The system's own word, because on a full disk no log has it; but no path, and nothing foreign."""
    if isinstance(fault, OSError) and fault.errno is not None and fault.errno > 0:
        return system_refusal(OSError(fault.errno, os.strerror(fault.errno)))
    return "This machine could not work on the link. The daemon's log says why."


async def _woken(event: asyncio.Event, timeout_s: float) -> bool:
    """Wait for an event; return whether it came before the time was over."""
    with suppress(TimeoutError):
        async with asyncio.timeout(timeout_s):
            await event.wait()
    return event.is_set()
