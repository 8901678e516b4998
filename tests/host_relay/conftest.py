from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.support.host import LinkRig, ScriptedRelay, scripted_relay, signed_in_store


@pytest.fixture
async def relay() -> AsyncIterator[ScriptedRelay]:
    async with scripted_relay() as relay:
        yield relay


@pytest.fixture
def rig(tmp_path: Path, relay: ScriptedRelay) -> LinkRig:
    """Signed in at the scripted relay."""
    return LinkRig(signed_in_store(tmp_path, relay.url))


@pytest.fixture(autouse=True)
def short_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    """The waits that nobody can set: between looks at auth.json, and between two renewals."""
    monkeypatch.setattr("host.relay.link._LOOK_INTERVAL_S", 0.01)
    monkeypatch.setattr("host.relay.link._MIN_RENEW_INTERVAL_S", 0.01)
