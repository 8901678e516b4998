"""What can be set of a relay, with the contract's values as defaults."""

from dataclasses import dataclass
from pathlib import Path

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
from relay_stub.oauth.tokens import ACCESS_LIFETIME_S


@dataclass(frozen=True)
class RelayConfig:
    """``port`` 0 lets the system choose."""

    data_dir: Path
    host: str = "127.0.0.1"
    port: int = 8787
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
