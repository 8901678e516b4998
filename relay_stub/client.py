"""A phone in code: signs in, asks, follows events. Used by ``pocketcoder-relay call`` and by the tests."""

import asyncio
import base64
import hashlib
import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Final, Self
from urllib.parse import parse_qs, urlencode, urlsplit, urlunsplit
from uuid import uuid4

import aiohttp
import msgspec

from host.protocol.envelope import Envelope, encode_envelope
from host.protocol.errors import WireError
from host.protocol.limits import MAX_FRAME_BYTES, PROTOCOL_VERSION
from host.protocol.messages.auth import WEB_CLIENT_ID, AuthExchange, ClientId, TokenRefresh, Tokens
from host.protocol.messages.base import Request, encode_payload
from host.protocol.messages.system import ClientHello, Device, ProjectJoin

# To connect, and again until the relay answers over HTTP.
_CONNECT_TIMEOUT_S: Final = 10.0
_MAX_QUEUED_EVENTS: Final = 10_000
# Renewed when this part of a token's life is over.
_RENEW_AFTER: Final = 0.8

Message = dict[str, Any]


class ClientError(Exception):
    """The relay can't be reached, or doesn't let us in. The message is for people."""


class RequestFailed(ClientError):
    """A request was answered with an error."""

    def __init__(self, error: WireError) -> None:
        super().__init__(f"{error.code}: {error.message}")
        self.error = error


class ConnectionClosed(ClientError):
    """The relay closed the connection."""

    def __init__(self, code: int | None) -> None:
        super().__init__(f"The relay closed the connection (code {code}).")
        self.code = code


class RelayClient:
    """One client connection. Messages are plain dictionaries, as they were on the wire.

    Made by ``connect`` or ``sign_in``; ``events`` keeps at most 10,000 unread messages.
    """

    def __init__(self, http: aiohttp.ClientSession, socket: aiohttp.ClientWebSocketResponse) -> None:
        self._http = http
        self._socket = socket
        self._answers: dict[str, asyncio.Future[Message]] = {}
        self._reader = asyncio.create_task(self._read())
        self._renewer: asyncio.Task[None] | None = None
        self.events: asyncio.Queue[Message] = asyncio.Queue(_MAX_QUEUED_EVENTS)
        self.welcome: Message = {}

    @classmethod
    @asynccontextmanager
    async def connect(cls, relay_url: str, *, path: str = "/ws/client") -> AsyncIterator[Self]:
        """A connection that has not said hello. Raises ClientError when the relay can't be reached."""
        timeout = aiohttp.ClientTimeout(connect=_CONNECT_TIMEOUT_S, sock_read=_CONNECT_TIMEOUT_S)
        async with aiohttp.ClientSession(timeout=timeout) as http:
            try:
                # aiohttp refuses what is as long as its limit.
                limit_bytes = MAX_FRAME_BYTES + 1
                socket = await http.ws_connect(f"{relay_url}{path}", max_msg_size=limit_bytes, heartbeat=20)
            except (aiohttp.ClientError, OSError, TimeoutError) as exc:
                message = f"No relay answers at {relay_url}. Start one with: pocketcoder-relay serve"
                raise ClientError(message) from exc
            client = cls(http, socket)
            try:
                yield client
            finally:
                await client._close()

    @classmethod
    @asynccontextmanager
    async def sign_in(cls, relay_url: str, login: str, *, device: str = "pocketcoder-relay") -> AsyncIterator[Self]:
        """A connection signed in as ``login``, at a relay with the ``dev`` identity; renews itself."""
        async with cls.connect(relay_url) as client:
            code, verifier, redirect_uri = await authorize(client._http, relay_url, login)
            exchange = AuthExchange(code=code, code_verifier=verifier, redirect_uri=redirect_uri)
            tokens = await client.tokens(exchange)
            client.welcome = await client.hello(tokens.access_token, device=device)
            client._renewer = asyncio.create_task(client._renew(tokens, device))
            yield client

    async def request(
        self,
        wire_type: str,
        payload: object = None,
        *,
        session_id: str | None = None,
        machine_key: str | None = None,
        request_id: str | None = None,
    ) -> Any:
        """Ask, and return the answer's payload. Raises RequestFailed, or ConnectionClosed."""
        raw = msgspec.Raw(msgspec.json.encode({} if payload is None else payload))
        envelope = Envelope(
            wire_type,
            request_id=request_id or str(uuid4()),
            session_id=session_id,
            machine_key=machine_key,
            payload=raw,
        )
        answer = await self.ask(envelope)
        if "error" in answer:
            raise RequestFailed(msgspec.convert(answer["error"], WireError))
        return answer.get("payload", {})

    async def ask(self, envelope: Envelope) -> Message:
        """Send a request and return its terminal message, whatever it is."""
        if envelope.request_id is None:
            raise ValueError("A request needs an id.")
        answer = self._answers.get(envelope.request_id)
        if answer is None:
            answer = self._answers[envelope.request_id] = asyncio.get_running_loop().create_future()
        await self.send_raw(encode_envelope(envelope))
        try:
            return await asyncio.shield(answer)
        finally:
            self._answers.pop(envelope.request_id, None)

    async def send_raw(self, frame: bytes, *, binary: bool = False) -> None:
        """Send a frame as it is. Raises ConnectionClosed."""
        kind = aiohttp.WSMsgType.BINARY if binary else aiohttp.WSMsgType.TEXT
        try:
            await self._socket.send_frame(frame, kind)
        except (ConnectionError, aiohttp.ClientError) as exc:
            raise ConnectionClosed(self._socket.close_code) from exc

    async def tokens(self, request: AuthExchange | TokenRefresh) -> Tokens:
        return msgspec.convert(await self.request(request.wire_type, _plain(request)), Tokens)

    async def hello(self, access_token: str, *, device: str | None = None) -> Message:
        """Say who we are; the answer is ``client_welcome``'s payload."""
        hello = ClientHello(protocol_version=PROTOCOL_VERSION, token=access_token, device=Device(name=device))
        welcome: Message = await self.request(hello.wire_type, _plain(hello))
        return welcome

    async def projects(self) -> list[Message]:
        answer = await self.request("projects_list")
        projects: list[Message] = answer["projects"]
        return projects

    async def join(self, project_id: str) -> None:
        await self.request(ProjectJoin.wire_type, session_id=project_id)

    async def closed(self) -> int | None:
        """Wait until the relay closes the connection; return the close code."""
        await asyncio.wait({self._reader})
        return self._socket.close_code

    async def _read(self) -> None:
        async for frame in self._socket:
            if frame.type is not aiohttp.WSMsgType.TEXT:
                continue
            message: Message = msgspec.json.decode(frame.data)
            answer = self._answers.get(message.get("requestId", ""))
            if answer is not None:
                if not answer.done():
                    answer.set_result(message)
            else:
                if self.events.full():
                    self.events.get_nowait()
                self.events.put_nowait(message)
        for answer in self._answers.values():
            if not answer.done():
                answer.set_exception(ConnectionClosed(self._socket.close_code))

    async def _renew(self, tokens: Tokens, device: str) -> None:
        while True:
            await asyncio.sleep(tokens.expires_in_s * _RENEW_AFTER)
            tokens = await self.tokens(TokenRefresh(refresh_token=tokens.refresh_token))
            await self.hello(tokens.access_token, device=device)

    async def _close(self) -> None:
        tasks = [task for task in (self._renewer, self._reader) if task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self._socket.close()


async def authorize(
    http: aiohttp.ClientSession, relay_url: str, login: str, *, client_id: ClientId = WEB_CLIENT_ID
) -> tuple[str, str, str]:
    """Go through the browser's part of signing in; return (code, verifier, redirect URI)."""
    verifier = secrets.token_urlsafe(48)
    challenge = base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).rstrip(b"=").decode()
    redirect_uri, state = "http://127.0.0.1:1/callback", secrets.token_urlsafe(16)
    query = {
        "response_type": "code",
        "client_id": client_id,
        "redirect_uri": redirect_uri,
        "state": state,
        "code_challenge": challenge,
        "code_challenge_method": "S256",
        "login_hint": login,
    }
    url = f"{http_url(relay_url)}/oauth/authorize?{urlencode(query)}"
    try:
        async with http.get(url, allow_redirects=False) as response:
            location = response.headers.get("Location", "")
    except (aiohttp.ClientError, OSError, TimeoutError) as exc:
        raise ClientError(f"The relay at {relay_url} went away while signing in. Try again.") from exc
    answer = parse_qs(urlsplit(location).query)
    if answer.get("state") != [state] or "code" not in answer:
        raise ClientError(f"The relay at {relay_url} did not sign in {login!r}. Is its identity provider dev?")
    return answer["code"][0], verifier, redirect_uri


def http_url(relay_url: str) -> str:
    """The relay's base URL for a browser."""
    parts = urlsplit(relay_url)
    return urlunsplit(parts._replace(scheme={"ws": "http", "wss": "https"}.get(parts.scheme, parts.scheme)))


def _plain(request: Request) -> object:
    return msgspec.json.decode(encode_payload(request))
