"""Accepting connections: so many in all, so many from one address, and none that says nothing."""

import asyncio
import ssl
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any, Final, cast

from aiohttp import web

from relay_stub.addresses import client_address, network_of

_TLS_HANDSHAKE_TIMEOUT_S: Final = 10.0
_BACKLOG: Final = 512


class ConnectionCount:
    """At most ``max_in_all``, and ``max_per_network`` of one IPv4 address or IPv6 /64."""

    def __init__(self, max_in_all: int, max_per_network: int) -> None:
        self._max_in_all = max_in_all
        self._max_per_network = max_per_network
        self._open: Counter[str] = Counter()

    def enter(self, address: str) -> Callable[[], None] | None:
        """Return what is to be called once when the connection ends; None if it is one too many."""
        network = network_of(address)
        if self._open.total() >= self._max_in_all or self._open[network] >= self._max_per_network:
            return None
        self._open[network] += 1

        def leave() -> None:
            self._open[network] -= 1
            if self._open[network] == 0:
                del self._open[network]

        return leave


class _Admission(asyncio.Protocol):
    """Passes everything on to aiohttp's protocol, for a connection that is not one too many."""

    def __init__(self, served: asyncio.Protocol, count: ConnectionCount) -> None:
        self._served = served
        self._count = count
        self._leave: Callable[[], None] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        peer = transport.get_extra_info("peername")
        self._leave = self._count.enter(client_address(peer[0] if peer else None, (), trusted_proxies=0))
        if self._leave is None:
            cast("asyncio.Transport", transport).abort()
        else:
            self._served.connection_made(transport)

    def data_received(self, data: bytes) -> None:
        if self._leave is not None:
            self._served.data_received(data)

    def eof_received(self) -> bool | None:
        return self._served.eof_received() if self._leave is not None else None

    def pause_writing(self) -> None:
        self._served.pause_writing()

    def resume_writing(self) -> None:
        self._served.resume_writing()

    def connection_lost(self, exc: Exception | None) -> None:
        if self._leave is not None:
            self._leave()
            self._served.connection_lost(exc)


@asynccontextmanager
async def listening(
    app: web.Application,
    host: str,
    port: int,
    *,
    count: ConnectionCount,
    tls: ssl.SSLContext | None,
    shutdown_timeout_s: float,
    head_timeout_s: float,
) -> AsyncIterator[int]:
    """Serve the application inside the block; yields the port.

    ``head_timeout_s`` is for a request's head to arrive, and between two requests. Raises OSError
    for an address that can't be had.
    """
    # aiohttp's keep-alive limit runs from the connection's start to the end of the first head, too.
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=shutdown_timeout_s, keepalive_timeout=head_timeout_s)
    await runner.setup()
    try:
        serve: Any = runner.server
        server = await asyncio.get_running_loop().create_server(
            lambda: _Admission(serve(), count),
            host,
            port,
            ssl=tls,
            ssl_handshake_timeout=_TLS_HANDSHAKE_TIMEOUT_S if tls else None,
            backlog=_BACKLOG,
        )
        try:
            yield server.sockets[0].getsockname()[1]
        finally:
            server.close()
    finally:
        await runner.cleanup()
