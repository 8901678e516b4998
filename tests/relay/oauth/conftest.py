from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from relay_stub.oauth.codes import AuthorizationCodes
from relay_stub.oauth.device import DeviceFlow
from relay_stub.oauth.identity.port import Identity
from relay_stub.oauth.tokens import TokenService
from relay_stub.store.accounts import Accounts
from relay_stub.store.database import Database


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
def tokens(accounts: Accounts, codes: AuthorizationCodes, revocations: Revocations, clock: FakeClock) -> TokenService:
    return TokenService(accounts, codes, on_revoked=revocations, clock=clock)


@pytest.fixture
def devices(tokens: TokenService, clock: FakeClock) -> DeviceFlow:
    return DeviceFlow(tokens.issue, verification_uri=lambda: "http://127.0.0.1:8787/oauth/device", clock=clock)
