"""The relay put together: the one place that chooses its real parts."""

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import ExitStack, asynccontextmanager, closing
from typing import Any, Final

from aiohttp import web

from host.protocol.envelope import Envelope
from host.protocol.limits import KIB
from relay_stub import subjects
from relay_stub.administration import Administration
from relay_stub.bus.memory import MemoryBus
from relay_stub.config import MAX_CONNECTIONS_PER_ADDRESS, RelayConfig
from relay_stub.connection import Relay
from relay_stub.exposure import chosen_identity, refuse_unsafe
from relay_stub.listening import ConnectionCount, listening
from relay_stub.live_sessions import LiveSessions
from relay_stub.oauth.codes import AuthorizationCodes
from relay_stub.oauth.device import DeviceFlow
from relay_stub.oauth.identity.choice import identity_provider
from relay_stub.oauth.identity.port import IdentityProvider
from relay_stub.oauth.routes import add_oauth_routes
from relay_stub.oauth.sign_in import SignIn
from relay_stub.oauth.tokens import TokenService
from relay_stub.oauth.visits import Visits
from relay_stub.outside_changes import OutsideChanges
from relay_stub.presence.memory import MemoryPresence
from relay_stub.rate_limits import DEFAULT_RATES, LOCAL_RATES, RateLimits
from relay_stub.routing import SESSION_REVOKED
from relay_stub.serving import Serving, rate_limited
from relay_stub.store.accounts import Accounts
from relay_stub.store.audit import AuditLog
from relay_stub.store.database import Database
from relay_stub.store.registrations import Registrations
from relay_stub.store.signing_keys import SigningKeys
from relay_stub.tls import follow_files, tls_context

_MAX_FORM_BYTES: Final = 64 * KIB
_SHUTDOWN_TIMEOUT_S: Final = 5.0


@asynccontextmanager
async def run_relay(config: RelayConfig, *, show_passcode: Callable[[str], None] | None = None) -> AsyncIterator[str]:
    """Serve inside the block; yields the base URL, ``http://127.0.0.1:8787``.

    A first passcode is given to ``show_passcode``. Raises UnsafeSetup, TlsUnusable, StoreError
    (the data directory), ProviderUnusable, or OSError (the address).
    """
    refuse_unsafe(config)
    tls = tls_context(config.tls) if config.tls else None
    with closing(Database.open(config.data_dir)) as database:
        provider = identity_provider(config, database, show_passcode=show_passcode)
        Administration(database, by="another identity provider").revoke_all_but(provider.name)
        parts = _Parts(config, database, provider)
        chores: list[Coroutine[Any, Any, None]] = [parts.changes.follow()]
        if tls and config.tls:
            chores.append(follow_files(tls, config.tls))
        with ExitStack() as running:
            for chore in chores:
                running.callback(asyncio.create_task(chore).cancel)
            async with listening(
                parts.application(),
                config.host,
                config.port,
                count=parts.connections,
                tls=tls,
                shutdown_timeout_s=_SHUTDOWN_TIMEOUT_S,
                head_timeout_s=config.head_timeout_s,
            ) as port:
                yield f"{'https' if tls else 'http'}://{_bracketed(config.host)}:{port}"


class _Parts:
    """What one relay consists of."""

    def __init__(self, config: RelayConfig, database: Database, provider: IdentityProvider) -> None:
        is_local = chosen_identity(config) == "dev"
        per_address = config.max_connections_per_address or (
            config.max_connections if is_local else MAX_CONNECTIONS_PER_ADDRESS
        )
        behind_proxy = config.trusted_proxies > 0
        # A proxy is one address to us, whoever is behind it.
        self.connections = ConnectionCount(
            config.max_connections, config.max_connections if behind_proxy else per_address
        )
        self._proxied = ConnectionCount(config.max_connections, per_address) if behind_proxy else None
        self._visits = Visits(config.public_url, config.trusted_proxies)
        self._bus = MemoryBus()
        limits = RateLimits(config.rates or (LOCAL_RATES if is_local else DEFAULT_RATES))
        audit = AuditLog(database)
        accounts, codes = Accounts(database), AuthorizationCodes()
        tokens = TokenService(
            accounts,
            codes,
            SigningKeys(database),
            audit,
            on_revoked=self._tell_revoked,
            access_lifetime_s=config.access_lifetime_s,
        )
        devices = DeviceFlow(tokens.issue)
        self.changes = OutsideChanges(database, self._look_again)
        self._sign_in = SignIn(provider, codes, devices, accounts, audit, limits)
        self._relay = Relay(
            config=config,
            bus=self._bus,
            presence=MemoryPresence(),
            registrations=Registrations(database),
            accounts=accounts,
            tokens=tokens,
            devices=devices,
            limits=limits,
            live_sessions=LiveSessions(),
            changes=self.changes,
        )

    def application(self) -> web.Application:
        limited = rate_limited(self._relay.limits, self._visits)
        app = web.Application(client_max_size=_MAX_FORM_BYTES, middlewares=[limited])
        add_oauth_routes(app, self._sign_in, self._visits)
        Serving(self._relay, self._visits, self._proxied).add_to(app)
        return app

    def _look_again(self) -> None:
        """Another program has changed the database: keys may have been rotated, sessions revoked.

        Who was let in and has no session yet would escape a revocation, so they begin again.
        """
        self._relay.tokens.reload_keys()
        self._sign_in.codes.forget_all()
        self._relay.devices.forget_approved()
        for user_id, session_id in self._relay.live_sessions.all():
            if not self._relay.accounts.is_session_valid(session_id):
                self._tell_revoked(user_id, session_id)

    def _tell_revoked(self, user_id: str, session_id: str) -> None:
        self._bus.publish(subjects.session(user_id, session_id), Envelope(SESSION_REVOKED))


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host
