"""The real relay in process, daemons that do as the test tells them, and peers that write raw bytes."""

import asyncio
import base64
import os
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Self
from urllib.parse import urlsplit
from uuid import uuid4

import aiohttp
import msgspec

from host.protocol.errors import WireError
from host.protocol.messages.auth import HOST_CLIENT_ID, WEB_CLIENT_ID, AuthExchange, ClientId, Tokens
from relay_stub.app import run_relay
from relay_stub.client import Message, RelayClient, authorize
from relay_stub.config import RelayConfig

BOUND_S: Final = 10.0
MACHINE: Final = "machine-1"
PROJECT: Final = "project-1"
UNAUTHORIZED: Final = {"code": "UNAUTHORIZED", "message": "Not authenticated. Sign in again."}
CLIENT_PATH: Final = "/ws/client"
DAEMON_PATH: Final = "/ws/daemon"


@asynccontextmanager
async def running_relay(data_dir: Path, **settings: Any) -> AsyncIterator[str]:
    """The real relay on a port of the system's choice; yields its base URL."""
    async with run_relay(RelayConfig(data_dir=data_dir, port=0, **settings)) as url:
        yield url


async def sign_in(relay_url: str, login: str, *, client_id: ClientId = WEB_CLIENT_ID) -> Tokens:
    """A new session's tokens, by the browser's way and ``auth_exchange``."""
    async with aiohttp.ClientSession() as http, RelayClient.connect(relay_url) as peer:
        code, verifier, redirect_uri = await authorize(http, relay_url, login, client_id=client_id)
        return await peer.tokens(AuthExchange(code=code, code_verifier=verifier, redirect_uri=redirect_uri))


def frame(wire_type: str, **members: Any) -> bytes:
    """A message's bytes; members by their names on the wire."""
    return msgspec.json.encode({"type": wire_type, **members})


async def next_message(peer: RelayClient) -> Message:
    """What came next and was not the answer that somebody awaits."""
    return await asyncio.wait_for(peer.events.get(), BOUND_S)


async def next_of_type(peer: RelayClient, wire_type: str) -> Message:
    while True:
        message = await next_message(peer)
        if message["type"] == wire_type:
            return message


async def close_code(peer: RelayClient) -> int | None:
    """The code with which the relay closes the connection, now or within the bound."""
    return await asyncio.wait_for(peer.closed(), BOUND_S)


async def answer_to(peer: RelayClient, wire_type: str, **members: Any) -> Message:
    """Send a request, and return the whole message that answers it, error or not."""
    request_id = members.setdefault("requestId", str(uuid4()))
    await peer.send_raw(frame(wire_type, **members))
    while (message := await next_message(peer)).get("requestId") != request_id:
        pass
    return message


async def error_of(peer: RelayClient, wire_type: str, **members: Any) -> WireError:
    return msgspec.convert((await answer_to(peer, wire_type, **members))["error"], WireError)


async def settled(peer: RelayClient) -> list[Message]:
    """All that came and was not looked at, up to an answer that is asked for now: what is not here never comes."""
    request_id = str(uuid4())
    await peer.send_raw(frame("machines_list", requestId=request_id))
    messages = []
    while (message := await next_message(peer)).get("requestId") != request_id:
        messages.append(message)
    return messages


def registration(
    token: str, *, machine_key: str = MACHINE, label: str = "Laptop", projects: Iterable[str] = (PROJECT,)
) -> Message:
    """The payload of a ``daemon_register``."""
    return {
        "protocolVersion": 1,
        "machineKey": machine_key,
        "token": token,
        "machine": {
            "label": label,
            "hostname": "laptop.local",
            "platform": "linux",
            "arch": "x86_64",
            "daemonVersion": "0.1.0",
        },
        "features": ["files"],
        "capabilities": {"hasGit": True, "hasClaude": False, "claudeStoreFound": False, "warnings": []},
        "projects": [registered_project(project_id) for project_id in projects],
    }


def registered_project(project_id: str) -> Message:
    return {
        "projectId": project_id,
        "name": f"{project_id}'s name",
        "path": f"/home/someone/{project_id}",
        "createdAt": "2026-02-12T10:00:00.000Z",
        "lastOpenedAt": "2026-02-12T10:00:00.000Z",
        "watcherRunning": True,
        "lastFsSeq": 7,
    }


@dataclass
class ScriptedDaemon:
    """A daemon that answers only as it is told."""

    peer: RelayClient
    tokens: Tokens
    machine_key: str
    registered: Message = field(default_factory=dict)

    @classmethod
    @asynccontextmanager
    async def connect(
        cls,
        relay_url: str,
        login: str,
        *,
        machine_key: str = MACHINE,
        label: str = "Laptop",
        projects: Iterable[str] = (PROJECT,),
    ) -> AsyncIterator[Self]:
        """A registered daemon of this user."""
        tokens = await sign_in(relay_url, login, client_id=HOST_CLIENT_ID)
        async with RelayClient.connect(relay_url, path=DAEMON_PATH) as peer:
            daemon = cls(peer, tokens, machine_key)
            daemon.registered = await daemon.register(label=label, projects=projects)
            yield daemon

    async def register(self, *, label: str = "Laptop", projects: Iterable[str] = (PROJECT,)) -> Message:
        """Say, again, what there is; returns the payload of ``daemon_registered``."""
        payload = registration(self.tokens.access_token, machine_key=self.machine_key, label=label, projects=projects)
        answer: Message = await self.peer.request("daemon_register", payload)
        return answer

    async def next_request(self) -> Message:
        return await next_message(self.peer)

    async def send(self, wire_type: str, **members: Any) -> None:
        await self.peer.send_raw(frame(wire_type, **members))

    async def answer(self, request: Message, payload: object = None) -> None:
        """The terminal message that the request expects, on the way that it names."""
        await self.send(
            f"{request['type']}_response",
            requestId=request["requestId"],
            sessionId=request.get("sessionId"),
            replyTo=request["replyTo"],
            payload={} if payload is None else payload,
        )

    async def answer_all(self) -> None:
        """Answer every request with its own payload, until cancelled."""
        while True:
            request = await self.peer.events.get()
            await self.answer(request, request["payload"])


@dataclass
class RawSocket:
    """A WebSocket that does nothing by itself: it neither answers pings nor reads unless it is told to."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    @classmethod
    @asynccontextmanager
    async def connect(cls, relay_url: str, path: str = CLIENT_PATH) -> AsyncIterator[Self]:
        url = urlsplit(relay_url)
        # A small limit, so that it stops to read soon after it is not asked to.
        reader, writer = await asyncio.open_connection(url.hostname, url.port, limit=4096)
        key = base64.b64encode(os.urandom(16)).decode()
        writer.write(
            f"GET {path} HTTP/1.1\r\nHost: {url.netloc}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            f"Sec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\n\r\n".encode()
        )
        try:
            async with asyncio.timeout(BOUND_S):
                head = await reader.readuntil(b"\r\n\r\n")
            if not head.startswith(b"HTTP/1.1 101"):
                raise ConnectionError(f"The relay did not switch protocols: {head!r}")
            yield cls(reader, writer)
        finally:
            writer.transport.abort()

    async def send(self, payload: bytes) -> None:
        self.writer.write(masked(payload))
        async with asyncio.timeout(BOUND_S):
            await self.writer.drain()

    async def receive(self) -> tuple[int, bytes]:
        """The next frame's opcode and payload. Raises IncompleteReadError when the connection is gone."""
        async with asyncio.timeout(BOUND_S):
            first, length = await self.reader.readexactly(2)
            if length == 126:
                length = int.from_bytes(await self.reader.readexactly(2), "big")
            elif length == 127:
                length = int.from_bytes(await self.reader.readexactly(8), "big")
            return first & 0x0F, await self.reader.readexactly(length)

    async def receive_message(self) -> Message:
        """The next text frame's message; pings are passed over."""
        while True:
            opcode, payload = await self.receive()
            if opcode == TEXT:
                message: Message = msgspec.json.decode(payload)
                return message

    async def read_to_close(self) -> int:
        """Read on to the relay's close frame; return its code."""
        while True:
            opcode, payload = await self.receive()
            if opcode == CLOSE:
                return int.from_bytes(payload[:2], "big")

    async def read_to_end(self) -> None:
        """Read on until the connection is gone, however it went."""
        try:
            while await asyncio.wait_for(self.reader.read(65536), BOUND_S):
                pass
        except ConnectionError:
            pass


TEXT: Final = 1
CLOSE: Final = 8


def masked(payload: bytes) -> bytes:
    """A client's text frame with the mask 0, which leaves the payload as it is."""
    return head_of_frame(len(payload)) + payload


def head_of_frame(size_bytes: int) -> bytes:
    """What comes before a text frame's payload (RFC 6455, section 5.2)."""
    if size_bytes < 126:
        length = bytes([0x80 | size_bytes])
    elif size_bytes < 65536:
        length = bytes([0x80 | 126]) + size_bytes.to_bytes(2, "big")
    else:
        length = bytes([0x80 | 127]) + size_bytes.to_bytes(8, "big")
    return bytes([0x80 | TEXT]) + length + bytes(4)


def hello(token: object, *, request_id: str = "hello", version: object = 1) -> bytes:
    """A client's hello as a frame, whatever the token is."""
    return frame("client_hello", requestId=request_id, payload={"protocolVersion": version, "token": token})


def refresh(tokens: Tokens) -> Message:
    """The payload of a ``token_refresh``."""
    return {"refreshToken": tokens.refresh_token}


async def assert_closed_as_unauthorized(peer: RelayClient, *, request_id: str | None = None) -> None:
    """The one error of the contract, then its close code, and nothing else."""
    expected: Message = {"type": "error", "error": UNAUTHORIZED}
    if request_id is not None:
        expected["requestId"] = request_id
    assert await next_message(peer) == expected
    assert await close_code(peer) == 4401
    assert peer.events.empty()


async def reuse_first_refresh_token(relay_url: str, first: Tokens) -> None:
    """Refresh twice, then show the first token again, as a thief or the robbed would."""
    async with RelayClient.connect(relay_url) as peer:
        second = await peer.request("token_refresh", refresh(first))
        await peer.request("token_refresh", {"refreshToken": second["refreshToken"]})
        await peer.send_raw(frame("token_refresh", requestId="reuse", payload=refresh(first)))
        await assert_closed_as_unauthorized(peer, request_id="reuse")
