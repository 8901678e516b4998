"""A client that costs as little as can be: frames as bytes, answers told by how they begin."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import count
from typing import Final

import aiohttp
import msgspec

from host.protocol.envelope import Envelope, encode_envelope
from host.protocol.limits import PROTOCOL_VERSION
from host.protocol.messages.auth import AuthExchange, ClientId
from relay_stub.client import RelayClient, authorize
from scripts.benchmarks.processes import BenchmarkFailed
from scripts.benchmarks.sandbox import LOGIN

_ID_CHARS: Final = 36
# Ids differ between everything that one run asks.
_numbers = count()


class Question:
    """Requests that differ in nothing but their id. ``answer_type`` is what must come back."""

    def __init__(self, wire_type: str, answer_type: str, payload: object, project_id: str | None = None) -> None:
        mark = "#" * _ID_CHARS
        raw = msgspec.Raw(msgspec.json.encode(payload))
        frame = encode_envelope(Envelope(wire_type, request_id=mark, session_id=project_id, payload=raw))
        self._before, _, self._after = frame.partition(mark.encode())
        self._beginning = b'{"type":"%b",' % answer_type.encode()

    def frame(self) -> bytes:
        return b"%b%0*d%b" % (self._before, _ID_CHARS, next(_numbers), self._after)

    def check(self, answer: bytes) -> None:
        if not answer.startswith(self._beginning):
            raise BenchmarkFailed(f"Not what was asked for: {answer[:300]!r}")


class Phone:
    def __init__(self, socket: aiohttp.ClientWebSocketResponse[bool]) -> None:
        self._socket = socket

    async def ask(self, question: Question) -> bytes:
        """Ask once and wait for the answer. Raises BenchmarkFailed for another one."""
        await self._socket.send_frame(question.frame(), aiohttp.WSMsgType.TEXT)
        answer: bytes = (await self._socket.receive()).data
        question.check(answer)
        return answer

    async def event(self) -> None:
        """Wait for a message that was not asked for."""
        await self._socket.receive()

    async def ask_many(self, question: Question, *, times: int, in_flight: int) -> None:
        """Keep so many requests under way until all were asked and answered."""
        for _ in range(in_flight):
            await self._socket.send_frame(question.frame(), aiohttp.WSMsgType.TEXT)
        for number in range(times):
            question.check((await self._socket.receive()).data)
            if number < times - in_flight:
                await self._socket.send_frame(question.frame(), aiohttp.WSMsgType.TEXT)


@asynccontextmanager
async def bare_phone(http: aiohttp.ClientSession, relay_url: str) -> AsyncIterator[Phone]:
    """A connection without a hello."""
    async with http.ws_connect(f"{relay_url}/ws/client", max_msg_size=0, decode_text=False) as socket:
        yield Phone(socket)


@asynccontextmanager
async def signed_in_phone(http: aiohttp.ClientSession, relay_url: str, token: str) -> AsyncIterator[Phone]:
    hello = {"protocolVersion": PROTOCOL_VERSION, "token": token}
    async with bare_phone(http, relay_url) as phone:
        await phone.ask(Question("client_hello", "client_welcome", hello))
        yield phone


async def access_token(http: aiohttp.ClientSession, relay_url: str, client_id: ClientId) -> str:
    """A token of the user whom the sandbox's daemon belongs to."""
    code, verifier, redirect_uri = await authorize(http, relay_url, LOGIN, client_id=client_id)
    async with RelayClient.connect(relay_url) as client:
        exchange = AuthExchange(code=code, code_verifier=verifier, redirect_uri=redirect_uri)
        return (await client.tokens(exchange)).access_token
