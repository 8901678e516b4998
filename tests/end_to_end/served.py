"""A project that is served to a phone by real processes."""

import asyncio
from typing import Any

import pytest

from relay_stub.client import RelayClient, RequestFailed
from tests.support.processes import Bench


class Served:
    """A project on a machine that is connected to a relay. ``variables`` are in the machine's environment."""

    def __init__(self, bench: Bench, **variables: str) -> None:
        self.root = bench.project()
        self.relay = bench.relay()
        self.machine = bench.machine(**variables)
        self.machine.login(self.relay.url)
        self.project_id = self.machine.add(self.root)
        self.daemon_pid = self.machine.start()
        self.machine.wait_until_connected()


class Phone:
    """Asks for files of one project."""

    def __init__(self, client: RelayClient, project_id: str) -> None:
        self._client = client
        self._project_id = project_id

    async def list(self, path: str) -> Any:
        return await self._ask("fs_list", path=path)

    async def read(self, path: str, **payload: object) -> Any:
        return await self._ask("fs_read", path=path, **payload)

    async def write(self, path: str, content: str, **payload: object) -> Any:
        return await self._ask("fs_write", path=path, content=content, **payload)

    async def refusal(self, wire_type: str, **payload: object) -> str:
        """The code of the error that the request is answered with."""
        with pytest.raises(RequestFailed) as refused:
            await self._ask(wire_type, **payload)
        return refused.value.error.code

    async def _ask(self, wire_type: str, **payload: object) -> Any:
        async with asyncio.timeout(30):
            return await self._client.request(wire_type, payload, session_id=self._project_id)
