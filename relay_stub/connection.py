"""What daemons and clients have in common: authenticating, staying authenticated, being told off.

A connection begins unknown. It may sign in, and then says who it is by its hello
(``daemon_register``, ``client_hello``), again whenever its token is renewed.
"""

import asyncio
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, ClassVar, Final, Protocol
from uuid import uuid4

import msgspec

from host.protocol.close_codes import CloseCode
from host.protocol.envelope import Envelope, InvalidEnvelope, NotAMessage
from host.protocol.errors import FileTooLarge, InvalidRequest, ProtocolError, Unauthorized, unforeseen
from host.protocol.limits import MAX_ANSWER_BYTES, PROTOCOL_VERSION
from host.protocol.messages.auth import (
    AuthExchange,
    ClientId,
    DeviceAuthorize,
    DeviceAuthorizeResponse,
    DeviceToken,
    TokenRefresh,
    TokenRevoke,
)
from host.protocol.messages.base import RequestT, Response, encode_payload, parse_request
from host.protocol.messages.system import Done
from relay_stub import subjects
from relay_stub.config import RelayConfig
from relay_stub.live_sessions import LiveSessions
from relay_stub.oauth.device import DeviceFlow
from relay_stub.oauth.identity.port import Visit
from relay_stub.oauth.tokens import AccessClaims, TokenService
from relay_stub.outside_changes import OutsideChanges
from relay_stub.peer_socket import PeerSocket
from relay_stub.ports import Bus, Presence
from relay_stub.rate_limits import Deed, RateLimits
from relay_stub.routing import SESSION_REVOKED, check_request
from relay_stub.store.accounts import Accounts
from relay_stub.store.registrations import Registrations

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Relay:
    """What every connection works with."""

    config: RelayConfig
    bus: Bus
    presence: Presence
    registrations: Registrations
    accounts: Accounts
    tokens: TokenService
    devices: DeviceFlow
    limits: RateLimits
    live_sessions: LiveSessions
    changes: OutsideChanges


class Role(Protocol):
    """What the two kinds of peers do differently."""

    hello_type: ClassVar[str]
    audience: ClassVar[ClientId]

    def hello(self, envelope: Envelope, claims: AccessClaims) -> str | None:
        """The peer said who it is, with a good token; answers. May be called again on the same connection.

        Return what the peer calls itself.
        """

    def receive(self, envelope: Envelope) -> None:
        """An authenticated peer's message that is neither hello nor signing in. May raise ProtocolError."""

    def closed(self) -> None:
        """The connection is gone. Called once, also if there was never a hello."""


class _Hello(msgspec.Struct, rename="camel"):
    """What is looked at before the rest of a hello is believed."""

    token: str
    protocol_version: Any = None


@dataclass
class Connection:
    """One peer's connection; its role is set right after it is made. ``authenticated`` is called after each hello."""

    relay: Relay
    socket: PeerSocket
    visit: Visit
    authenticated: Callable[[], None] = lambda: None
    id: str = field(default_factory=lambda: uuid4().hex)
    claims: AccessClaims | None = None
    _deadline: asyncio.TimerHandle | None = None
    _watched_session: str | None = None
    _unwatch_session: Callable[[], None] | None = None

    async def serve(self, role: Role) -> None:
        """Read and answer until the connection ends."""
        self._close_in(self.relay.config.authentication_timeout_s)
        try:
            async for received in self.socket.envelopes():
                self._receive(role, received)
        finally:
            if self._deadline is not None:
                self._deadline.cancel()
            if self._unwatch_session is not None:
                self._unwatch_session()
            role.closed()

    def answer(self, request: Envelope, response_type: str, response: Response) -> None:
        """Raises FileTooLarge for what no message can hold."""
        payload = encode_payload(response)
        if memoryview(payload).nbytes > MAX_ANSWER_BYTES:
            raise FileTooLarge("The answer is larger than one message can be. Ask for one machine's part of it.")
        self.socket.send(
            Envelope(response_type, request_id=request.request_id, session_id=request.session_id, payload=payload)
        )

    def refuse(self, request_id: str | None, session_id: str | None, error: ProtocolError) -> None:
        self.socket.send(Envelope("error", request_id=request_id, session_id=session_id, error=error.to_wire()))

    def _receive(self, role: Role, received: Envelope | NotAMessage | InvalidEnvelope) -> None:
        try:
            if not isinstance(received, Envelope):
                self._refuse_frame(received)
            elif not self._sign_in(received):
                self._dispatch(role, received)
        except Unauthorized as exc:
            self._refuse(received, exc)
            self.socket.close(CloseCode.NOT_AUTHENTICATED)
        except ProtocolError as exc:
            self._refuse(received, exc)
        except Exception:
            logger.exception("A message could not be handled")
            wire = Envelope("error", request_id=_request_id(received), error=unforeseen())
            self.socket.send(wire)

    def _refuse(self, received: Envelope | NotAMessage | InvalidEnvelope, error: ProtocolError) -> None:
        session_id = received.session_id if isinstance(received, Envelope) else None
        self.refuse(_request_id(received), session_id, error)

    def _refuse_frame(self, fault: NotAMessage | InvalidEnvelope) -> None:
        if self.claims is None:
            raise Unauthorized
        if isinstance(fault, InvalidEnvelope):
            raise fault
        raise _not_a_message()

    def _dispatch(self, role: Role, envelope: Envelope) -> None:
        if envelope.type == role.hello_type:
            self._hello(role, envelope)
        elif self.claims is None:
            raise Unauthorized
        else:
            role.receive(envelope)

    def _sign_in(self, envelope: Envelope) -> bool:
        """Handle the messages by which tokens are had; return whether it was one."""
        match envelope.type:
            case AuthExchange.wire_type:
                exchange = self._checked(AuthExchange, envelope, "exchange")
                self.relay.changes.look()
                answer: Response = self.relay.tokens.exchange(exchange, address=self.visit.address)
            case TokenRefresh.wire_type:
                refresh = self._checked(TokenRefresh, envelope, "refresh")
                answer = self.relay.tokens.refresh(refresh, address=self.visit.address)
            case TokenRevoke.wire_type:
                revoke = self._checked(TokenRevoke, envelope, "revoke")
                self.relay.tokens.sign_out(revoke, address=self.visit.address)
                answer = Done()
            case DeviceAuthorize.wire_type:
                answer = self._authorize_device(self._checked(DeviceAuthorize, envelope, "device_authorize"))
            case DeviceToken.wire_type:
                poll = self._checked(DeviceToken, envelope, "device_token")
                self.relay.changes.look()
                answer = self.relay.devices.poll(poll, address=self.visit.address)
            case _:
                return False
        self.answer(envelope, f"{envelope.type}_response", answer)
        return True

    def _checked(self, model: type[RequestT], envelope: Envelope, deed: Deed) -> RequestT:
        """What a stranger asks for, unless it is malformed or one request too many."""
        check_request(envelope)
        request = parse_request(model, envelope.payload)
        self.relay.limits.check(deed, self.visit.address)
        return request

    def _authorize_device(self, request: DeviceAuthorize) -> DeviceAuthorizeResponse:
        answer = self.relay.devices.authorize(
            request, verification_uri=f"{self.visit.origin}/oauth/device", address=self.visit.address
        )
        if self.claims is None:
            self._close_in(answer.expires_in_s)
        return answer

    def _hello(self, role: Role, envelope: Envelope) -> None:
        try:
            hello = msgspec.json.decode(envelope.payload, type=_Hello)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as exc:
            raise Unauthorized from exc
        claims = self.relay.tokens.verify(hello.token, audience=role.audience)
        if self.claims is not None and self.claims.user_id != claims.user_id:
            raise Unauthorized
        check_request(envelope)
        if hello.protocol_version != PROTOCOL_VERSION:
            self.refuse(envelope.request_id, None, _version_not_spoken())
            self.socket.close(CloseCode.VERSION_NOT_SPOKEN)
            return
        label = role.hello(envelope, claims)
        self.relay.accounts.describe_session(claims.session_id, label=label, address=self.visit.address)
        self.claims = claims
        self.socket.is_stranger = False
        self.authenticated()
        self._close_in(claims.expires_at_s - time.time() + self.relay.config.token_expiry_grace_s)
        self._watch_session(claims)

    def _watch_session(self, claims: AccessClaims) -> None:
        """Close at once when the sign-in behind this connection is revoked."""
        if self._watched_session == claims.session_id:
            return
        if self._unwatch_session is not None:
            self._unwatch_session()

        def revoked(envelope: Envelope) -> None:
            if envelope.type == SESSION_REVOKED:
                # What this very connection said may be why; then its answer goes first.
                asyncio.get_running_loop().call_soon(self._close_unauthorized)

        subject = subjects.session(claims.user_id, claims.session_id)
        unsubscribe = self.relay.bus.subscribe(subject, revoked)
        leave = self.relay.live_sessions.enter(claims.user_id, claims.session_id)

        def unwatch() -> None:
            unsubscribe()
            leave()

        self._unwatch_session = unwatch
        self._watched_session = claims.session_id

    def _close_in(self, delay_s: float) -> None:
        """Set, or move, the moment at which this connection is no longer authenticated."""
        if self._deadline is not None:
            self._deadline.cancel()
        self._deadline = asyncio.get_running_loop().call_later(max(delay_s, 0), self._close_unauthorized)

    def _close_unauthorized(self) -> None:
        self.refuse(None, None, Unauthorized())
        self.socket.close(CloseCode.NOT_AUTHENTICATED)


_VERSION_MESSAGE: Final = (
    f"The relay speaks version {PROTOCOL_VERSION} of the protocol, this peer does not. Upgrade the older of the two."
)


_NO_MESSAGE: Final = "The frame is not a message: one JSON object with a string type, sent as text."


def _version_not_spoken() -> ProtocolError:
    return InvalidRequest(_VERSION_MESSAGE, errors=[{"field": "protocolVersion", "reason": _VERSION_MESSAGE}])


def _not_a_message() -> ProtocolError:
    return InvalidRequest(_NO_MESSAGE, errors=[{"field": "type", "reason": _NO_MESSAGE}])


def _request_id(received: Envelope | NotAMessage | InvalidEnvelope) -> str | None:
    return received.request_id
