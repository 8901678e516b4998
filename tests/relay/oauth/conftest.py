from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from host.protocol.messages.auth import HOST_CLIENT_ID, ClientId, DeviceAuthorize, DeviceAuthorizeResponse
from relay_stub.oauth.codes import AuthorizationCodes
from relay_stub.oauth.device import DeviceFlow
from relay_stub.oauth.identity.port import Identity
from relay_stub.oauth.tokens import TokenService
from relay_stub.store.accounts import Accounts
from relay_stub.store.audit import AuditLog
from relay_stub.store.database import Database
from relay_stub.store.signing_keys import SigningKeys


@dataclass
class FakeClock:
    now_s: float = 1_800_000_000.0

    def __call__(self) -> float:
        return self.now_s

    def advance(self, seconds: float) -> None:
        self.now_s += seconds


@dataclass
class Revocations:
    """Records what ``on_revoked`` was told."""

    told: list[tuple[str, str]] = field(default_factory=list)

    def __call__(self, user_id: str, session_id: str) -> None:
        self.told.append((user_id, session_id))


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    opened = Database.open(tmp_path / "relay")
    yield opened
    opened.close()


@pytest.fixture
def accounts(database: Database) -> Accounts:
    return Accounts(database)


@pytest.fixture
def user_id(accounts: Accounts) -> str:
    return accounts.sign_in(Identity("dev", "alice", "alice", name="Alice")).id


@pytest.fixture
def codes(clock: FakeClock) -> AuthorizationCodes:
    return AuthorizationCodes(clock=clock)


@pytest.fixture
def revocations() -> Revocations:
    return Revocations()


@pytest.fixture
def tokens(database: Database, codes: AuthorizationCodes, revocations: Revocations, clock: FakeClock) -> TokenService:
    return token_service(database, codes, revocations, clock)


def token_service(
    database: Database, codes: AuthorizationCodes, revocations: Revocations, clock: FakeClock, **settings: Any
) -> TokenService:
    """The service over this database, as a relay makes it when it starts."""
    keys, audit = SigningKeys(database), AuditLog(database, clock=clock)
    return TokenService(Accounts(database), codes, keys, audit, on_revoked=revocations, clock=clock, **settings)


@pytest.fixture
def devices(tokens: TokenService, clock: FakeClock) -> DeviceFlow:
    return DeviceFlow(tokens.issue, clock=clock)


def authorize_device(
    devices: DeviceFlow, client_id: ClientId = HOST_CLIENT_ID, *, address: str = "192.0.2.7"
) -> DeviceAuthorizeResponse:
    """A machine begins to wait."""
    verification_uri = "http://127.0.0.1:8787/oauth/device"
    return devices.authorize(DeviceAuthorize(client_id=client_id), verification_uri=verification_uri, address=address)
