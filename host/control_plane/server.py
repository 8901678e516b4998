"""The control plane's HTTP server on 127.0.0.1. The one module that imports aiohttp."""

import asyncio
import errno
import logging
import os
import secrets
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from functools import partial
from pathlib import Path
from typing import Final

from aiohttp import web

from host.control_plane.challenge import CHALLENGE_HEADER, PROOF_HEADER, is_challenge, proof
from host.control_plane.guard import has_token, is_direct
from host.control_plane.replies import (
    FORBIDDEN,
    MALFORMED,
    MAX_BODY_BYTES,
    NO_UPGRADE,
    NOT_AUTHENTICATED,
    TOO_LARGE,
    TOO_SLOW,
    Reply,
)
from host.control_plane.routes import DaemonControl, Routes
from host.core.errors import ForPeople
from host.core.home import write_private
from host.core.logging import redact
from host.core.peer import is_same_user
from host.protocol.limits import KIB

HOST: Final = "127.0.0.1"
MAX_HEADER_BYTES: Final = 8 * KIB
MAX_HEADERS: Final = 64
MAX_CONNECTIONS: Final = 32
READ_TIMEOUT_S: Final = 10.0
STOP_TIMEOUT_S: Final = 5.0
# After a refusal: what the asker still sends is read, so that it gets to see the answer.
LINGER_S: Final = 1.0

_logger: Final = logging.getLogger(__name__)


class ControlPortTaken(ForPeople):
    """The port can't be had. The message is a sentence for a person."""

    def __init__(self, port: int) -> None:
        super().__init__(
            f"The control port {port} is taken by another program, or not allowed to you. "
            "Free it, or set POCKETCODER_CONTROL_PORT to another port."
        )


class ControlServer:
    """Serves ``control`` from ``start`` to ``stop``; the token file exists for as long."""

    def __init__(
        self, control: DaemonControl, token_file: Path, port: int, *, read_timeout_s: float = READ_TIMEOUT_S
    ) -> None:
        self._routes = Routes(control)
        self._token_file = token_file
        self._port = port
        self._read_timeout_s = read_timeout_s
        self._token = secrets.token_urlsafe(32)
        self._listener: asyncio.Server | None = None

    @property
    def port(self) -> int:
        """The port that is listened on, also if it was given as 0."""
        return self._port

    async def start(self) -> None:
        """Listen on 127.0.0.1 only. Raises ControlPortTaken, and OSError if the token can't be written."""
        self._requests = web.Server(self._handle)
        loop = asyncio.get_running_loop()
        with _told_of_the_port(self._port):
            listener = await loop.create_server(self._accept, HOST, self._port, start_serving=False)
        self._port = listener.sockets[0].getsockname()[1]
        redact(self._token)
        try:
            # Before the first connection is accepted: who got an answer finds the token that belongs to it.
            write_private(self._token_file, self._token.encode())
            with _told_of_the_port(self._port):
                await listener.start_serving()
        except BaseException:
            listener.close()
            raise
        self._listener = listener

    async def stop(self) -> None:
        """Stop listening, let what runs finish for up to 5 s, remove the token. Doing it again does nothing."""
        listener, self._listener = self._listener, None
        if listener is None:
            return
        listener.close()
        self._requests.pre_shutdown()
        await self._requests.shutdown(STOP_TIMEOUT_S)
        await listener.wait_closed()
        self._token_file.unlink(missing_ok=True)

    def _accept(self) -> asyncio.Protocol:
        if len(self._requests.connections) >= MAX_CONNECTIONS:
            return _Refused()
        # The keep-alive timer also bounds the wait for a request's whole header.
        return _Connection(
            self._requests,
            loop=asyncio.get_running_loop(),
            keepalive_timeout=self._read_timeout_s,
            lingering_time=LINGER_S,
            max_line_size=MAX_HEADER_BYTES,
            max_field_size=MAX_HEADER_BYTES,
            max_headers=MAX_HEADERS,
            auto_decompress=False,
            access_log=None,  # type: ignore[arg-type]  # aiohttp takes None for no log
            logger=_logger,
        )

    async def _handle(self, request: web.BaseRequest) -> web.StreamResponse:
        refusal = await self._refusal(request)
        if refusal is not None:
            return _Response(refusal, close=True)
        body = await self._read_body(request)
        if isinstance(body, Reply):
            return _Response(body, close=True)
        response = _Response(await self._routes.answer(request.method, request.path, body))
        self._prove(request, response)
        return response

    async def _refusal(self, request: web.BaseRequest) -> Reply | None:
        headers = partial(_header_values, request)
        if not is_direct(headers, self._port):
            return FORBIDDEN
        if "Upgrade" in request.headers or request.method == "CONNECT":
            return NO_UPGRADE
        if request.path == "/health" or has_token(headers, self._token):
            return None
        return None if await _is_from_same_user(request) else NOT_AUTHENTICATED

    def _prove(self, request: web.BaseRequest, response: web.Response) -> None:
        challenge = request.headers.get(CHALLENGE_HEADER, "")
        if request.path == "/health" and is_challenge(challenge):
            response.headers[PROOF_HEADER] = proof(self._token, self._port, challenge)

    async def _read_body(self, request: web.BaseRequest) -> bytes | Reply:
        body = bytearray()
        if (request.content_length or 0) > MAX_BODY_BYTES:
            return TOO_LARGE
        try:
            async with asyncio.timeout(self._read_timeout_s):
                async for chunk in request.content.iter_any():
                    body += chunk
                    if len(body) > MAX_BODY_BYTES:
                        return TOO_LARGE
        except TimeoutError:
            return TOO_SLOW
        except web.RequestPayloadError:
            return MALFORMED
        return bytes(body)


@contextmanager
def _told_of_the_port(port: int) -> Iterator[None]:
    try:
        yield
    except OSError as exc:
        if exc.errno in (errno.EADDRINUSE, errno.EACCES):
            raise ControlPortTaken(port) from exc
        raise


@asynccontextmanager
async def serve(control: DaemonControl, token_file: Path, port: int) -> AsyncIterator[ControlServer]:
    """A control server that listens inside the block."""
    server = ControlServer(control, token_file, port)
    await server.start()
    try:
        yield server
    finally:
        await server.stop()


class _Response(web.Response):
    """Says nothing of what made it, and nothing that would let a browser read it."""

    def __init__(self, reply: Reply, *, close: bool = False) -> None:
        super().__init__(status=reply.status, body=reply.body or None, headers=reply.headers)
        self.headers["Cache-Control"] = "no-store"
        if reply.body:
            self.content_type = "application/json"
        if close:
            self.force_close()

    async def _prepare_headers(self) -> None:
        await super()._prepare_headers()
        self.headers.popall("Server", None)


class _Connection(web.RequestHandler):
    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """What is no HTTP never reaches ``_handle``; it is answered in the same shape as all else."""
        _logger.debug("A request to the control plane could not be read.", exc_info=exc)
        return _Response(MALFORMED, close=True)


class _Refused(asyncio.Protocol):
    """One connection too many."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)  # noqa: S101 - what a stream server hands over
        transport.abort()


def _header_values(request: web.BaseRequest, name: str) -> Sequence[str]:
    return request.headers.getall(name, ())


async def _is_from_same_user(request: web.BaseRequest) -> bool:
    transport = request.transport
    if transport is None or not hasattr(os, "geteuid"):
        return False
    peer, server = transport.get_extra_info("peername"), transport.get_extra_info("sockname")
    return await asyncio.to_thread(is_same_user, peer, server, os.geteuid())
