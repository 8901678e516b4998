"""The real CLI, and the API that it asks."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.agents.claude.claude_rig import ClaudeRig
from tests.support.messages_api import MessagesApi


@pytest.fixture
async def api() -> AsyncIterator[MessagesApi]:
    async with MessagesApi.serve() as served:
        yield served


@pytest.fixture
async def claude(tmp_path: Path, api: MessagesApi) -> AsyncIterator[ClaudeRig]:
    async with ClaudeRig.with_claude(tmp_path, api.url) as rig:
        yield rig
