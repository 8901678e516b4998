"""The relay's HTTP side: the WebSockets, the health check, and bounds on how often anybody asks."""

from collections.abc import Awaitable, Callable

from aiohttp import web
from aiohttp.typedefs import Middleware

from host.protocol.close_codes import CloseCode
from host.protocol.errors import RateLimited
from host.protocol.limits import MAX_CLIENT_FRAME_BYTES, MAX_FRAME_BYTES
from relay_stub.client_role import ClientRole
from relay_stub.connection import Connection, Relay, Role
from relay_stub.daemon_role import DaemonRole
from relay_stub.listening import Admitted, ConnectionCount
from relay_stub.oauth.routes import too_many
from relay_stub.oauth.visits import Visits
from relay_stub.peer_socket import PeerSocket
from relay_stub.rate_limits import Deed, RateLimits
from relay_stub.strangers import Strangers
from relay_stub.version import relay_version

_DEEDS: dict[str, Deed] = {"/ws/daemon": "connect", "/ws/client": "connect"}

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


def rate_limited(limits: RateLimits, visits: Visits) -> Middleware:
    """A middleware that answers 429 to who asks too often, whatever for."""

    @web.middleware
    async def check(request: web.Request, handler: Handler) -> web.StreamResponse:
        try:
            limits.check(_DEEDS.get(request.path, "page"), visits.of(request).address)
        except RateLimited as refusal:
            return too_many(refusal)
        return await handler(request)

    return check


class Serving:
    """``count`` bounds the connections that come through proxies; None where there are none."""

    def __init__(self, relay: Relay, visits: Visits, count: ConnectionCount | None) -> None:
        self._relay = relay
        self._visits = visits
        self._count = count
        self._strangers = Strangers()
        self._sockets: set[PeerSocket] = set()

    def add_to(self, app: web.Application) -> None:
        app.router.add_get("/health", self._health)
        app.router.add_get("/ws/daemon", self._serve_daemon)
        app.router.add_get("/ws/client", self._serve_client)
        app.on_shutdown.append(self._close_sockets)

    async def _health(self, _: web.Request) -> web.Response:
        return web.json_response({"status": "ok", "version": relay_version()})

    async def _serve_daemon(self, request: web.Request) -> web.StreamResponse:
        return await self._admit(request, DaemonRole, MAX_FRAME_BYTES)

    async def _serve_client(self, request: web.Request) -> web.StreamResponse:
        return await self._admit(request, ClientRole, MAX_CLIENT_FRAME_BYTES)

    async def _admit(
        self, request: web.Request, role: Callable[[Connection], Role], max_frame_bytes: int
    ) -> web.StreamResponse:
        if self._count is None:
            return await self._serve(request, role, max_frame_bytes)
        leave = self._count.enter(self._visits.of(request).address)
        if leave is None:
            return too_many(RateLimited("Too many connections are open from this address, or in all."))
        try:
            return await self._serve(request, role, max_frame_bytes)
        finally:
            leave()

    async def _serve(
        self, request: web.Request, role: Callable[[Connection], Role], max_frame_bytes: int
    ) -> web.WebSocketResponse:
        config = self._relay.config
        response = web.WebSocketResponse(
            heartbeat=config.heartbeat_interval_s,
            max_msg_size=max_frame_bytes + 1,  # aiohttp refuses what is as long as its limit.
            compress=False,
            decode_text=False,
        )
        # aiohttp waits for half the interval, which cannot be set; any byte that arrives counts,
        # as the contract has it.
        response._pong_heartbeat = config.heartbeat_timeout_s
        await response.prepare(request)
        socket, visit = PeerSocket(response, request), self._visits.of(request)
        account = self._strangers.account(visit.address)
        protocol = request.transport.get_protocol() if request.transport is not None else None
        if isinstance(protocol, Admitted):
            protocol.account = account
        self._sockets.add(socket)
        try:
            connection = Connection(self._relay, socket, visit, authenticated=account.close)
            await socket.run(connection.serve(role(connection)))
        finally:
            self._sockets.discard(socket)
            account.close()
        return response

    async def _close_sockets(self, _: web.Application) -> None:
        for socket in self._sockets:
            socket.close(CloseCode.GOING_AWAY)
