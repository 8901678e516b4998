"""What can be set of a relay, with the contract's values as defaults."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

from host.protocol.catalog import DEFAULT_TIMEOUT_S
from host.protocol.limits import (
    AUTHENTICATION_TIMEOUT_S,
    HEARTBEAT_INTERVAL_S,
    HEARTBEAT_TIMEOUT_S,
    MAX_FRAME_BYTES,
    MAX_PENDING_REQUESTS,
    TOKEN_EXPIRY_GRACE_S,
)
from host.protocol.messages.system import ConnectionLimits
from relay_stub.oauth.identity.github_settings import GitHubSettings
from relay_stub.oauth.tokens import ACCESS_LIFETIME_S
from relay_stub.rate_limits import Deed, Rate
from relay_stub.tls import TlsFiles

IdentityName = Literal["dev", "passcode", "github"]

MAX_CONNECTIONS: Final = 4096
HEAD_TIMEOUT_S: Final = 10.0
# A household, or an office behind one address.
MAX_CONNECTIONS_PER_ADDRESS: Final = 256


@dataclass(frozen=True)
class RelayConfig:
    """``port`` 0 lets the system choose.

    ``identity`` None is ``dev`` where only this machine comes in, else ``passcode``. ``public_url``
    is the address by which everybody knows the relay, ``https://relay.example``; None where what
    browsers and daemons ask for says it. ``rates`` None, and ``max_connections_per_address`` None, are
    generous for ``dev``. ``head_timeout_s`` is how long a request's head may take.
    """

    data_dir: Path
    host: str = "127.0.0.1"
    port: int = 8787
    identity: IdentityName | None = None
    github: GitHubSettings | None = None
    public_url: str | None = None
    trusted_proxies: int = 0
    tls: TlsFiles | None = None
    insecure: bool = False
    rates: Mapping[Deed, Rate] | None = None
    max_connections: int = MAX_CONNECTIONS
    max_connections_per_address: int | None = None
    head_timeout_s: float = HEAD_TIMEOUT_S
    access_lifetime_s: int = ACCESS_LIFETIME_S
    authentication_timeout_s: float = AUTHENTICATION_TIMEOUT_S
    token_expiry_grace_s: float = TOKEN_EXPIRY_GRACE_S
    heartbeat_interval_s: float = HEARTBEAT_INTERVAL_S
    heartbeat_timeout_s: float = HEARTBEAT_TIMEOUT_S
    request_timeout_s: float = DEFAULT_TIMEOUT_S

    def limits(self, max_frame_bytes: int = MAX_FRAME_BYTES) -> ConnectionLimits:
        """What a peer is told of its connection; ``max_frame_bytes`` holds for what it sends."""
        return ConnectionLimits(
            max_frame_bytes=max_frame_bytes,
            max_pending_requests=MAX_PENDING_REQUESTS,
            heartbeat_interval_ms=round(self.heartbeat_interval_s * 1000),
            request_timeout_ms=round(self.request_timeout_s * 1000),
        )
