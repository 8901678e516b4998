"""The only module of the host that knows websockets; its exceptions stop here."""

import asyncio
import os
import ssl
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Final
from urllib.parse import urlsplit

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import (
    ConnectionClosed,
    InvalidHandshake,
    InvalidProxy,
    InvalidStatus,
    InvalidURI,
    ProxyError,
)
from websockets.proxy import get_proxy
from websockets.uri import parse_uri

from host.protocol.limits import HEARTBEAT_INTERVAL_S, HEARTBEAT_TIMEOUT_S, MAX_FRAME_BYTES

_OPEN_TIMEOUT_S: Final = 15.0
_CLOSE_TIMEOUT_S: Final = 2.0
# OpenSSL's numbers for a certificate whose time is still to come, or over.
_NOT_VALID_NOW: Final = (9, 10)
_LOOPBACK_HOSTS: Final = frozenset({"127.0.0.1", "::1", "localhost"})


class ConnectionLost(Exception):
    """There is no connection, or no longer. The message is a sentence for people; ``code`` the close code, if any."""

    def __init__(self, message: str, code: int | None = None) -> None:
        super().__init__(message)
        self.code = code


class _Connection(ClientConnection):
    """Remembers when bytes last came, also in the middle of a long message. Own sends don't count."""

    received_at_s: float = 0.0
    received_monotonic_s: float = 0.0

    def data_received(self, data: bytes) -> None:
        self.received_monotonic_s = time.monotonic()
        self.received_at_s = time.time()
        super().data_received(data)


class _Connecting(connect):
    """Follows no redirect: tokens are for the relay whose address is known, and for no other."""

    def process_redirect(self, exc: Exception) -> Exception:
        return exc


class Transport:
    """One open connection to the relay. Every method raises ConnectionLost when it is gone."""

    def __init__(self, socket: _Connection) -> None:
        self._socket = socket

    @property
    def received_at_s(self) -> float:
        """When bytes last arrived, seconds since the epoch."""
        return self._socket.received_at_s

    @property
    def close_code(self) -> int | None:
        """How the connection was closed; None while it is open."""
        return self._socket.close_code

    async def send(self, frame: bytes) -> None:
        try:
            await self._socket.send(frame, text=True)
        except ConnectionClosed as exc:
            raise _lost(exc) from exc

    async def receive(self) -> bytes:
        try:
            return await self._socket.recv(decode=False)
        except ConnectionClosed as exc:
            raise _lost(exc) from exc

    async def keep_alive(
        self, *, interval_s: float = HEARTBEAT_INTERVAL_S, timeout_s: float = HEARTBEAT_TIMEOUT_S
    ) -> None:
        """Ping for ever. Raises ConnectionLost when no bytes at all came for ``timeout_s`` after a ping."""
        while True:
            pinged_s = time.monotonic()
            # Where much waits to be sent a ping waits too, and the silence must end that as well.
            with suppress(TimeoutError):
                async with asyncio.timeout(timeout_s):
                    await self._ping()
            await asyncio.sleep(pinged_s + timeout_s - time.monotonic())
            if self._socket.received_monotonic_s < pinged_s:
                raise ConnectionLost(f"The relay has been silent for {timeout_s:g} s.")
            await asyncio.sleep(max(interval_s - timeout_s, 0))

    async def close(self) -> None:
        """Say goodbye; drop the connection when that takes longer than 2 s."""
        try:
            async with asyncio.timeout(_CLOSE_TIMEOUT_S):
                await self._socket.close()
        except TimeoutError:
            # What could not be sent yet keeps the goodbye waiting, and websockets bounds only the wait for its answer.
            self.abort()
            await self._socket.wait_closed()

    def abort(self) -> None:
        """Drop the connection without a goodbye: the other side has fallen silent."""
        self._socket.transport.abort()

    async def _ping(self) -> None:
        try:
            await self._socket.ping()
        except ConnectionClosed as exc:
            raise _lost(exc) from exc


@asynccontextmanager
async def open_transport(url: str) -> AsyncIterator[Transport]:
    """Connect to a WebSocket URL. Raises ConnectionLost for whatever goes wrong on the way."""
    parts = urlsplit(url)
    try:
        socket = await _Connecting(
            url,
            create_connection=_Connection,
            compression=None,
            max_size=MAX_FRAME_BYTES,
            open_timeout=_OPEN_TIMEOUT_S,
            close_timeout=_CLOSE_TIMEOUT_S,
            ping_interval=None,
            ssl=system_trust() if parts.scheme == "wss" else None,
            proxy=proxy_of(url),
        )
    except (OSError, InvalidHandshake, InvalidURI, EOFError, InvalidProxy, ImportError) as exc:
        raise ConnectionLost(_why_not(exc)) from exc
    transport = Transport(socket)  # type: ignore[arg-type]  # what create_connection made
    try:
        yield transport
    except ConnectionLost as exc:
        if exc.code is None:
            transport.abort()
        raise
    finally:
        await transport.close()


def proxy_of(url: str) -> str | None:
    """This system's proxy for a WebSocket URL, which then looks up its name; None where there is none."""
    return None if urlsplit(url).hostname in _LOOPBACK_HOSTS else get_proxy(parse_uri(url))


def system_trust() -> ssl.SSLContext:
    """Trusts whom this system trusts, or whom ``SSL_CERT_FILE`` names."""
    if sys.platform != "linux" and not os.environ.get("SSL_CERT_FILE"):
        import truststore  # noqa: PLC0415 - there OpenSSL knows nothing of the system's own store

        return truststore.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    return ssl.create_default_context()


def _lost(closed: ConnectionClosed) -> ConnectionLost:
    if closed.rcvd is None:
        return ConnectionLost("The connection to the relay broke.")
    return ConnectionLost(f"The relay closed the connection (code {closed.rcvd.code}).", closed.rcvd.code)


def _why_not(error: Exception) -> str:
    """Why there is no connection, in words of ours: a foreign message could hold a secret."""
    match error:
        case TimeoutError():
            return f"The relay did not answer within {_OPEN_TIMEOUT_S:g} s."
        case ConnectionRefusedError():
            return "Nothing listens at the relay's address. Is the relay running?"
        case ssl.SSLCertVerificationError():
            return _why_not_trusted(error)
        case ssl.SSLError():
            return "No TLS connection to the relay could be made."
        case InvalidProxy() | ImportError():  # websockets imports what it needs for SOCKS only then
            return "This system's proxy can't be used: it is neither http nor https. Change it, or set NO_PROXY."
        case ProxyError():
            return "The proxy on the way to the relay refused the connection."
        case InvalidStatus():
            return f"The relay refused the connection (HTTP {error.response.status_code})."
        case InvalidHandshake() | InvalidURI() | EOFError():
            return "What answers at the relay's address is no relay."
        case OSError() if error.errno is None or type(error).__name__ == "gaierror":
            return "The relay's name could not be resolved, or its network is not reachable."
        case _:
            return "The relay could not be reached."


def _why_not_trusted(error: ssl.SSLCertVerificationError) -> str:
    if error.verify_code in _NOT_VALID_NOW:
        return "The relay's TLS certificate is not valid now: it has expired, or this machine's clock is wrong."
    return "The relay's TLS certificate is not trusted by this system. SSL_CERT_FILE can name one that is."
