from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.agents.agent_rig import AgentRig, agent_rig


@pytest.fixture
async def rig(tmp_path: Path) -> AsyncIterator[AgentRig]:
    async with agent_rig(tmp_path) as rig:
        yield rig
