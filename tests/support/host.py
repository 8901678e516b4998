"""What the host's tests share: a relay that does as the test says, a link to it, and waiting."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from http import HTTPStatus
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

import msgspec
from websockets.asyncio.server import ServerConnection, serve
from websockets.http11 import Request as HttpRequest
from websockets.http11 import Response as HttpResponse

from host.auth.session import Session
from host.auth.token_store import StoredTokens, TokenStore
from host.protocol.envelope import Envelope, decode_envelope, encode_envelope
from host.protocol.errors import ErrorCode, WireError
from host.protocol.messages.auth import TokenRefresh, Tokens, UserProfile
from host.protocol.messages.base import Response, encode_payload
from host.protocol.messages.system import (
    Capabilities,
    ConnectionLimits,
    DaemonRegister,
    DaemonRegistered,
    SignedInUser,
)
from host.relay.link import Link
from host.relay.outbox import Outbox
from host.relay.registration import MachineFacts, build_registration

WAIT_S: Final = 10.0
_LOOK_INTERVAL_S: Final = 0.01


async def eventually(is_so: Callable[[], bool], timeout_s: float = WAIT_S) -> None:
    """Return as soon as it is so; fail when it isn't in time."""
    deadline_s = time.monotonic() + timeout_s
    while not is_so():
        assert time.monotonic() < deadline_s, "It did not come about in time."
        await asyncio.sleep(_LOOK_INTERVAL_S)


def tokens_for(*, access: str = "access-1", refresh: str = "refresh-1", life_s: float = 900) -> Tokens:
    return Tokens(
        access_token=access,
        refresh_token=refresh,
        expires_at="2026-02-12T10:00:00.123Z",
        expires_in_s=int(life_s),
        user=UserProfile(id="user-1", login="alice"),
    )


def stored_tokens(
    relay_url: str, *, access: str = "access-1", refresh: str = "refresh-1", life_s: float = 900
) -> StoredTokens:
    return StoredTokens(
        relay_url=relay_url,
        user_id="user-1",
        login="alice",
        access_token=access,
        refresh_token=refresh,
        expires_at=time.time() + life_s,
    )


class RelayPeer:
    """One connection of a daemon, seen from the relay."""

    def __init__(self, socket: ServerConnection) -> None:
        self._socket = socket

    async def receive(self) -> Envelope:
        async with asyncio.timeout(WAIT_S):
            return decode_envelope(await self._socket.recv(decode=False))

    async def expect(self, wire_type: str) -> Envelope:
        envelope = await self.receive()
        assert envelope.type == wire_type
        return envelope

    async def send_raw(self, frame: bytes) -> None:
        await self._socket.send(frame, text=True)

    async def answer(self, request: Envelope, wire_type: str, response: Response) -> None:
        answer = Envelope(wire_type, request_id=request.request_id, payload=encode_payload(response))
        await self.send_raw(encode_envelope(answer))

    async def refuse(self, request: Envelope, code: ErrorCode) -> None:
        error = WireError(code.value, "No.")
        await self.send_raw(encode_envelope(Envelope("error", request_id=request.request_id, error=error)))

    async def register(self) -> DaemonRegister:
        """Take the daemon's registration; return it."""
        request = await self.expect("daemon_register")
        registered = DaemonRegistered(
            connection_id="connection-1",
            user=SignedInUser("user-1", "alice"),
            server_time="2026-02-12T10:00:00.123Z",
            relay_version="0.1.0",
            limits=ConnectionLimits(1, 1, 1, 1),
        )
        await self.answer(request, "daemon_registered", registered)
        return DaemonRegister.model_validate_json(bytes(request.payload))

    async def renew(self, tokens: Tokens) -> str:
        """Answer a token_refresh with ``tokens``; return the refresh token that was shown."""
        request = await self.expect("token_refresh")
        await self.answer(request, "token_refresh_response", tokens)
        return TokenRefresh.model_validate_json(bytes(request.payload)).refresh_token

    async def ask(
        self, wire_type: str, payload: object, *, request_id: str, session_id: str = "proj_1", reply_to: str = "c1"
    ) -> None:
        """Forward a client's request."""
        raw = msgspec.Raw(msgspec.json.encode(payload))
        request = Envelope(wire_type, request_id=request_id, session_id=session_id, reply_to=reply_to, payload=raw)
        await self.send_raw(encode_envelope(request))

    async def close(self, code: int) -> None:
        await self._socket.close(code)

    def fall_silent(self) -> None:
        """Read nothing any more, so that not even a pong is sent."""
        self._socket.transport.pause_reading()

    def break_off(self) -> None:
        self._socket.transport.abort()

    async def closed(self) -> int | None:
        """Wait until the daemon has gone; return its close code."""
        async with asyncio.timeout(WAIT_S):
            await self._socket.wait_closed()
        return self._socket.close_code


@dataclass
class ScriptedRelay:
    """Accepts connections and does nothing by itself; with a ``refusal`` it answers HTTP with that status."""

    url: str = ""
    refusal: HTTPStatus | None = None
    tries: int = 0
    _peers: asyncio.Queue[RelayPeer] = field(default_factory=asyncio.Queue)

    async def next_peer(self, timeout_s: float = WAIT_S) -> RelayPeer:
        """The next connection. Raises TimeoutError when none comes."""
        async with asyncio.timeout(timeout_s):
            return await self._peers.get()

    async def serve(self, socket: ServerConnection) -> None:
        self._peers.put_nowait(RelayPeer(socket))
        await socket.wait_closed()

    def answer_http(self, connection: ServerConnection, request: HttpRequest) -> HttpResponse | None:
        assert urlsplit(request.path).path == "/ws/daemon"
        self.tries += 1
        return None if self.refusal is None else connection.respond(self.refusal, "")


@asynccontextmanager
async def scripted_relay() -> AsyncIterator[ScriptedRelay]:
    """A relay on a port of its own, over real sockets."""
    relay = ScriptedRelay()
    server = await serve(
        relay.serve,
        "127.0.0.1",
        0,
        process_request=relay.answer_http,
        ping_interval=None,
        compression=None,
        close_timeout=0.5,
    )
    relay.url = f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    try:
        yield relay
    finally:
        server.close()
        await server.wait_closed()


def registration_with(token: str, *, label: str = "desk") -> DaemonRegister:
    return build_registration(
        MachineFacts("11111111-1111-4111-8111-111111111111", "0.1.0", ("fs_read",)),
        token=token,
        label=label,
        capabilities=Capabilities(has_git=True, has_claude=False, claude_store_found=False),
        projects=[],
    )


async def plain_registration(token: str) -> DaemonRegister:
    return registration_with(token)


# A hundredth of the contract's waits: 0.01, 0.02, 0.04 … s.
def hurried() -> float:
    return -0.98


@dataclass
class LinkRig:
    """A link, what it works with, and the requests that it was sent."""

    store: TokenStore
    gateway_url: str | None = None
    outbox: Outbox = field(default_factory=Outbox)
    accepted: list[Envelope] = field(default_factory=list)

    def make(
        self,
        *,
        registration: Callable[[str], Awaitable[DaemonRegister]] = plain_registration,
        accept: Callable[[Envelope], None] | None = None,
        jitter: Callable[[], float] = hurried,
        monotonic_s: Callable[[], float] = time.monotonic,
    ) -> Link:
        return Link(
            Session(self.store, self.gateway_url),
            self.outbox,
            registration,
            accept or self.accepted.append,
            jitter=jitter,
            monotonic_s=monotonic_s,
        )


def signed_in_store(directory: Path, relay_url: str) -> TokenStore:
    store = TokenStore(directory / "auth.json")
    store.sign_in(stored_tokens(relay_url))
    return store


@asynccontextmanager
async def running(link: Link) -> AsyncIterator[Link]:
    """The link runs inside the block. It must still run when the block ends."""
    task = asyncio.create_task(link.run())
    try:
        yield link
        assert not task.done(), "The link ended by itself."
    finally:
        task.cancel()
        (outcome,) = await asyncio.gather(task, return_exceptions=True)
    assert isinstance(outcome, asyncio.CancelledError), outcome
