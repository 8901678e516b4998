from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from host.db.database import Database


@pytest.fixture
async def database(tmp_path: Path) -> AsyncIterator[Database]:
    opened = await Database.open(tmp_path / "daemon.db")
    yield opened
    await opened.close()
