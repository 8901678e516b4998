"""What is served beside the WebSockets, and the phone in code that goes in."""

import asyncio
from contextlib import AsyncExitStack
from pathlib import Path

import aiohttp
import pytest

from relay_stub.client import ClientError, ConnectionClosed, RelayClient
from relay_stub.version import relay_version
from tests.support.relay import CLIENT_PATH, DAEMON_PATH, PROJECT, ScriptedDaemon, frame, next_message, running_relay


async def test_anyone_may_ask_whether_the_relay_is_well(relay_url: str) -> None:
    async with aiohttp.ClientSession() as http, http.get(f"{relay_url}/health") as response:
        assert response.status == 200
        assert await response.json() == {"status": "ok", "version": relay_version()}


async def test_a_browser_that_opens_a_websockets_address_is_turned_away(relay_url: str) -> None:
    async with aiohttp.ClientSession() as http:
        for path in (CLIENT_PATH, DAEMON_PATH):
            async with http.get(f"{relay_url}{path}") as response:
                assert response.status == 400


async def test_the_client_gives_up_what_it_waits_for_when_the_relay_goes(tmp_path: Path) -> None:
    async with AsyncExitStack() as peers:
        async with running_relay(tmp_path / "relay") as url:
            daemon = await peers.enter_async_context(ScriptedDaemon.connect(url, "alice"))
            client = await peers.enter_async_context(RelayClient.sign_in(url, "alice"))
            asked = asyncio.create_task(client.request("fs_list", session_id=PROJECT))
            await daemon.next_request()
        with pytest.raises(ConnectionClosed, match="code 1001"):
            await asked
        with pytest.raises(ConnectionClosed, match="code 1001"):
            await client.request("machines_list")


async def test_the_client_says_when_it_cannot_sign_in(relay_url: str) -> None:
    with pytest.raises(ClientError, match="did not sign in 'no such name'"):
        async with RelayClient.sign_in(relay_url, "no such name"):
            pass


async def test_the_client_keeps_the_newest_of_more_events_than_it_can(relay_url: str) -> None:
    async with RelayClient.sign_in(relay_url, "alice") as client:
        limit = client.events.maxsize
        for number in range(limit + 1):
            await client.send_raw(frame("machines_list", requestId=str(number)))
            if number % 1000 == 0:
                await client.request("machines_list")
        await client.request("machines_list")
        assert client.events.qsize() == limit
        assert (await next_message(client))["requestId"] == "1"
