"""A phone that does what clients are told to: send again, under the same id, until there is an answer."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Final, Self
from uuid import uuid4

import aiohttp
import msgspec

from host.protocol.envelope import Envelope
from relay_stub.client import ClientError, Message, RelayClient

# What says "not now", and nothing about the outcome.
_PASSING: Final = frozenset({"MACHINE_OFFLINE", "REQUEST_TIMEOUT", "DAEMON_BUSY", "RATE_LIMITED"})
# Longer than the relay lets anyone wait: without an answer by then, none will come.
_ANSWER_TIMEOUT_S: Final = 20.0
_RETRY_WAIT_S: Final = 0.05


class RetryingPhone:
    """One connection of one user, made anew when it breaks. ``retries`` counts what was sent again."""

    def __init__(self, relay_url: str, login: str, project_id: str) -> None:
        self._relay_url = relay_url
        self._login = login
        self._project_id = project_id
        self._connection = AsyncExitStack()
        self._client: RelayClient | None = None
        self.retries = 0

    @classmethod
    @asynccontextmanager
    async def open(cls, relay_url: str, login: str, project_id: str) -> AsyncIterator[Self]:
        phone = cls(relay_url, login, project_id)
        try:
            yield phone
        finally:
            await phone._disconnect()

    async def ask(self, wire_type: str, payload: object, *, request_id: str | None = None) -> Message:
        """The terminal message that says what became of the request, however often it takes to hear it.

        Bounded by the test's own time. Raises TimeoutError when the relay leaves a request without any answer.
        """
        envelope = Envelope(
            wire_type,
            request_id=request_id or str(uuid4()),
            session_id=self._project_id,
            payload=msgspec.Raw(msgspec.json.encode(payload)),
        )
        while True:
            try:
                client = self._client or await self._connect()
                async with asyncio.timeout(_ANSWER_TIMEOUT_S):
                    answer = await client.ask(envelope)
                if answer.get("error", {}).get("code") not in _PASSING:
                    return answer
            except (ClientError, aiohttp.ClientError, ConnectionError):
                await self._disconnect()
            self.retries += 1
            await asyncio.sleep(_RETRY_WAIT_S)

    async def _connect(self) -> RelayClient:
        signing_in = RelayClient.sign_in(self._relay_url, self._login)
        self._client = await self._connection.enter_async_context(signing_in)
        return self._client

    async def _disconnect(self) -> None:
        self._client = None
        await self._connection.aclose()
