from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.support.relay import running_relay


@pytest.fixture
async def relay_url(tmp_path: Path) -> AsyncIterator[str]:
    """A relay with the contract's own values."""
    async with running_relay(tmp_path / "relay") as url:
        yield url
