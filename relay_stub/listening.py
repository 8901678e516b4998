"""Accepting connections: so many in all, so many from one address, and none that says nothing."""

import asyncio
import errno
import logging
import socket
import ssl
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import ExitStack, asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Final, cast

from aiohttp import web

from relay_stub.addresses import client_address, network_of
from relay_stub.strangers import Account

logger = logging.getLogger(__name__)

_TLS_HANDSHAKE_TIMEOUT_S: Final = 10.0
_BACKLOG: Final = 512
# While the system has no more files to give.
_ACCEPT_PAUSE_S: Final = 0.5


class ConnectionCount:
    """At most ``max_in_all``, and ``max_per_network`` of one IPv4 address or IPv6 /64."""

    def __init__(self, max_in_all: int, max_per_network: int) -> None:
        self._max_in_all = max_in_all
        self._max_per_network = max_per_network
        self._open: Counter[str] = Counter()

    def enter(self, address: str) -> Callable[[], None] | None:
        """Return what is to be called when the connection ends, once or more often; None if it is one too many."""
        network = network_of(address)
        if self._open.total() >= self._max_in_all or self._open[network] >= self._max_per_network:
            return None
        self._open[network] += 1

        is_inside = True

        def leave() -> None:
            nonlocal is_inside
            if not is_inside:
                return
            is_inside = False
            self._open[network] -= 1
            if self._open[network] == 0:
                del self._open[network]

        return leave


class Admitted(asyncio.Protocol):
    """Passes everything on to aiohttp's protocol, and calls ``leave`` when the connection is gone.

    With an ``account`` it is dropped when that takes no more.
    """

    def __init__(self, served: asyncio.Protocol, leave: Callable[[], None]) -> None:
        self._served = served
        self._leave = leave
        self._transport: asyncio.Transport | None = None
        self.account: Account | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._served.connection_made(transport)

    def data_received(self, data: bytes) -> None:
        if self.account is None or self.account.takes(len(data)):
            self._served.data_received(data)
        elif self._transport is not None:
            self.account.close()
            self._transport.abort()

    def eof_received(self) -> bool | None:
        return self._served.eof_received()

    def pause_writing(self) -> None:
        self._served.pause_writing()

    def resume_writing(self) -> None:
        self._served.resume_writing()

    def connection_lost(self, exc: Exception | None) -> None:
        self._leave()
        self._served.connection_lost(exc)


@dataclass(frozen=True)
class _Door:
    """Accepts connections, and counts them before their TLS handshake: who never makes it has one as well."""

    new_protocol: Callable[[], asyncio.Protocol]
    count: ConnectionCount
    tls: ssl.SSLContext | None
    _handshakes: set[asyncio.Task[None]] = field(default_factory=set)

    async def accept(self, listener: socket.socket) -> None:
        """Until cancelled, and then ends the handshakes as well."""
        loop = asyncio.get_running_loop()
        try:
            while True:
                # However many come, those that are here get their turn.
                await asyncio.sleep(0)
                try:
                    accepted, peer = await loop.sock_accept(listener)
                except ConnectionError:
                    continue
                except OSError as exc:
                    logger.warning("No connection can be accepted: %s. Trying again", exc.strerror)
                    await asyncio.sleep(_ACCEPT_PAUSE_S)
                    continue
                self._admit(accepted, peer[0])
        finally:
            for handshake in self._handshakes:
                handshake.cancel()

    def _admit(self, accepted: socket.socket, peer: str) -> None:
        leave = self.count.enter(client_address(peer, (), trusted_proxies=0))
        if leave is None:
            accepted.close()
            return
        handshake = asyncio.create_task(self._serve(accepted, leave))
        self._handshakes.add(handshake)
        handshake.add_done_callback(self._handshakes.discard)

    async def _serve(self, accepted: socket.socket, leave: Callable[[], None]) -> None:
        is_served = False
        try:
            await asyncio.get_running_loop().connect_accepted_socket(
                lambda: Admitted(self.new_protocol(), leave),
                accepted,
                ssl=self.tls,
                ssl_handshake_timeout=_TLS_HANDSHAKE_TIMEOUT_S if self.tls else None,
            )
            is_served = True
        except OSError:
            logger.debug("A connection ended in its TLS handshake")
        finally:
            if not is_served:
                accepted.close()
                leave()


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
        door = _Door(serve, count, tls)
        with ExitStack() as open_now:
            listeners = await _listeners(host, port, open_now)
            accepting = [asyncio.create_task(door.accept(listener)) for listener in listeners]
            try:
                yield listeners[0].getsockname()[1]
            finally:
                for task in accepting:
                    task.cancel()
                await asyncio.wait(accepting)
    finally:
        await runner.cleanup()


async def _listeners(host: str, port: int, open_now: ExitStack) -> list[socket.socket]:
    """One for each address of the host, "" for all there are. Raises OSError."""
    addresses = await asyncio.get_running_loop().getaddrinfo(
        host or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
    )
    listeners = []
    for family, _, _, _, address in dict.fromkeys(addresses):
        try:
            listener = open_now.enter_context(socket.create_server(address, family=family, backlog=_BACKLOG))
        except OSError as exc:
            # A name may stand for addresses of a family that this system does not have.
            if exc.errno != errno.EAFNOSUPPORT or len(addresses) == 1:
                raise
            continue
        listener.setblocking(False)
        listeners.append(listener)
    return listeners
