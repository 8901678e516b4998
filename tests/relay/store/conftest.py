from collections.abc import Iterator
from pathlib import Path

import pytest

from relay_stub.oauth.identity.port import Identity
from relay_stub.store.accounts import Accounts
from relay_stub.store.database import Database


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
    return accounts.sign_in(Identity("dev", "alice", "alice")).id
