"""The relay put together: the one place that chooses its real parts."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Final

from aiohttp import web

from host.protocol.close_codes import CloseCode
from host.protocol.envelope import Envelope
from host.protocol.limits import KIB, MAX_CLIENT_FRAME_BYTES, MAX_FRAME_BYTES
from relay_stub import subjects
from relay_stub.bus.memory import MemoryBus
from relay_stub.client_role import ClientRole
from relay_stub.config import RelayConfig
from relay_stub.connection import Connection, Relay, Role
from relay_stub.daemon_role import DaemonRole
from relay_stub.oauth.codes import AuthorizationCodes
from relay_stub.oauth.device import DeviceFlow
from relay_stub.oauth.identity.dev import DevIdentity
from relay_stub.oauth.routes import add_oauth_routes
from relay_stub.oauth.tokens import TokenService
from relay_stub.peer_socket import PeerSocket
from relay_stub.presence.memory import MemoryPresence
from relay_stub.routing import SESSION_REVOKED
from relay_stub.store.accounts import Accounts
from relay_stub.store.database import Database
from relay_stub.store.registrations import Registrations
from relay_stub.version import relay_version

_SOCKETS: Final = web.AppKey("sockets", set[PeerSocket])
_RELAY: Final = web.AppKey("relay", Relay)
_MAX_FORM_BYTES: Final = 64 * KIB
_SHUTDOWN_TIMEOUT_S: Final = 5.0


async def _health(_: web.Request) -> web.Response:
    return web.json_response({"status": "ok", "version": relay_version()})


async def _serve_daemon(request: web.Request) -> web.WebSocketResponse:
    return await _serve(request, DaemonRole, MAX_FRAME_BYTES)


async def _serve_client(request: web.Request) -> web.WebSocketResponse:
    return await _serve(request, ClientRole, MAX_CLIENT_FRAME_BYTES)


async def _serve(
    request: web.Request, role: Callable[[Connection], Role], max_frame_bytes: int
) -> web.WebSocketResponse:
    config = request.app[_RELAY].config
    response = web.WebSocketResponse(
        heartbeat=config.heartbeat_interval_s,
        max_msg_size=max_frame_bytes + 1,  # aiohttp refuses what is as long as its limit.
        compress=False,
        decode_text=False,
    )
    # aiohttp waits for half the interval, which cannot be set; any byte that arrives counts, as the contract has it.
    response._pong_heartbeat = config.heartbeat_timeout_s
    await response.prepare(request)
    socket = PeerSocket(response, request)
    sockets = request.app[_SOCKETS]
    sockets.add(socket)
    try:
        connection = Connection(request.app[_RELAY], socket)
        await socket.run(connection.serve(role(connection)))
    finally:
        sockets.discard(socket)
    return response


async def _close_sockets(app: web.Application) -> None:
    for socket in app[_SOCKETS]:
        socket.close(CloseCode.GOING_AWAY)


@asynccontextmanager
async def run_relay(config: RelayConfig) -> AsyncIterator[str]:
    """Serve inside the block; yields the base URL, ``http://127.0.0.1:8787``.

    Raises StoreError (the data directory), ProviderUnusable (``dev`` beyond loopback), or
    OSError (the address).
    """
    provider = DevIdentity(config.host)
    database = Database.open(config.data_dir)
    try:
        app = web.Application(client_max_size=_MAX_FORM_BYTES)
        base_url = _BaseUrl()
        app[_SOCKETS] = set()
        app[_RELAY] = _make_relay(config, database, app, provider, base_url)
        app.router.add_get("/health", _health)
        app.router.add_get("/ws/daemon", _serve_daemon)
        app.router.add_get("/ws/client", _serve_client)
        app.on_shutdown.append(_close_sockets)
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=_SHUTDOWN_TIMEOUT_S)
        await runner.setup()
        try:
            site = web.TCPSite(runner, config.host, config.port)
            await site.start()
            base_url.url = f"http://{_bracketed(config.host)}:{runner.addresses[0][1]}"
            yield base_url.url
        finally:
            await runner.cleanup()
    finally:
        database.close()


class _BaseUrl:
    """Known only when the port is: it may have been given as 0."""

    url = ""


def _make_relay(
    config: RelayConfig, database: Database, app: web.Application, provider: DevIdentity, base_url: _BaseUrl
) -> Relay:
    bus = MemoryBus()

    def revoked(user_id: str, session_id: str) -> None:
        bus.publish(subjects.session(user_id, session_id), Envelope(SESSION_REVOKED))

    accounts, codes = Accounts(database), AuthorizationCodes()
    tokens = TokenService(accounts, codes, on_revoked=revoked, access_lifetime_s=config.access_lifetime_s)
    devices = DeviceFlow(tokens.issue, verification_uri=lambda: f"{base_url.url}/oauth/device")
    add_oauth_routes(
        app,
        provider=provider,
        codes=codes,
        devices=devices,
        accounts=accounts,
        own_origin=lambda request: f"{request.scheme}://{request.host}",
    )
    return Relay(
        config=config,
        bus=bus,
        presence=MemoryPresence(),
        registrations=Registrations(database),
        tokens=tokens,
        devices=devices,
    )


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host
