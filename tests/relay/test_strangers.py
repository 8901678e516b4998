"""What strangers can do to a running relay: ask too often, connect too often, say nothing, say it slowly."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Mapping
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import aiohttp
import pytest

from host.protocol.limits import MIB
from host.protocol.messages.auth import TokenRefresh, Tokens
from relay_stub import strangers
from relay_stub.administration import Administration
from relay_stub.client import ClientError, RelayClient
from relay_stub.rate_limits import LOCAL_RATES, Deed, Rate
from relay_stub.store.database import Database
from tests.support.relay import (
    BOUND_S,
    DAEMON_PATH,
    RawSocket,
    error_of,
    head_of_frame,
    refresh,
    running_relay,
    sign_in,
)

FEW = Rate(0.001, 3)


def only(*deeds: Deed) -> Mapping[Deed, Rate]:
    """Few of these, and as many as they like of the rest."""
    return {**LOCAL_RATES, **dict.fromkeys(deeds, FEW)}


@pytest.mark.parametrize(
    ("wire_type", "deed", "payload"),
    [
        ("token_refresh", "refresh", None),
        ("token_revoke", "revoke", {"refreshToken": "x"}),
        ("device_authorize", "device_authorize", {"clientId": "pocketcoder-host"}),
        ("device_token", "device_token", {"deviceCode": "x"}),
    ],
)
async def test_each_way_to_tokens_is_limited_and_the_connection_lives_on(
    tmp_path: Path, wire_type: str, deed: Deed, payload: dict[str, str] | None
) -> None:
    async with running_relay(tmp_path / "relay", rates=only(deed)) as url:
        tokens = await sign_in(url, "alice")
        async with RelayClient.connect(url) as peer:
            for _ in range(FEW.burst):
                if payload is None:
                    tokens = await refreshed(peer, tokens.refresh_token)
                elif wire_type == "device_token":
                    assert (await error_of(peer, wire_type, payload=payload)).code == "EXPIRED_TOKEN"
                else:
                    await peer.request(wire_type, payload)
            limited = await error_of(peer, wire_type, payload=payload or refresh(tokens))
            assert limited.code == "RATE_LIMITED"
            assert limited.details is not None
            assert limited.details["retryAfterMs"] > 1000
            # A good token is still good, and what was refused has used nothing up.
            await peer.hello(tokens.access_token)


async def refreshed(peer: RelayClient, refresh_token: str) -> Tokens:
    return await peer.tokens(TokenRefresh(refresh_token=refresh_token))


async def test_codes_are_limited_too(tmp_path: Path) -> None:
    async with running_relay(tmp_path / "relay", rates=only("exchange")) as url:
        for _ in range(FEW.burst):
            await sign_in(url, "alice")
        async with RelayClient.connect(url) as peer:
            payload = {"code": "x", "codeVerifier": "v" * 43, "redirectUri": "http://127.0.0.1:1/callback"}
            assert (await error_of(peer, "auth_exchange", payload=payload)).code == "RATE_LIMITED"


@pytest.mark.parametrize("path", ["/oauth/authorize", "/oauth/device", "/oauth/callback", "/health", "/nothing"])
async def test_each_page_is_limited_and_says_when_to_come_again(tmp_path: Path, path: str) -> None:
    async with running_relay(tmp_path / "relay", rates=only("page")) as url, aiohttp.ClientSession() as http:
        for _ in range(FEW.burst):
            async with http.get(f"{url}{path}") as response:
                assert response.status != 429
        for method in ("GET", "POST"):
            async with http.request(method, f"{url}{path}") as response:
                assert response.status == 429
                assert int(response.headers["Retry-After"]) > 1


@pytest.mark.parametrize("path", ["/ws/client", "/ws/daemon"])
async def test_connecting_is_limited(tmp_path: Path, path: str) -> None:
    async with running_relay(tmp_path / "relay", rates=only("connect")) as url, aiohttp.ClientSession() as http:
        for _ in range(FEW.burst):
            async with RelayClient.connect(url, path=path):
                pass
        with pytest.raises(ClientError):
            async with RelayClient.connect(url, path=path):
                pass
        async with http.get(f"{url}{path}") as response:
            assert (response.status, int(response.headers["Retry-After"]) > 1) == (429, True)


async def test_behind_a_proxy_each_visitor_is_counted_alone(tmp_path: Path) -> None:
    settings: dict[str, Any] = {"identity": "passcode", "trusted_proxies": 1, "rates": only("page")}
    make_passcode(tmp_path / "relay")
    async with running_relay(tmp_path / "relay", **settings) as url, aiohttp.ClientSession() as http:

        async def statuses(visitor: str) -> list[int]:
            seen = []
            for _ in range(FEW.burst + 1):
                async with http.get(f"{url}/health", headers={"X-Forwarded-For": visitor}) as response:
                    seen.append(response.status)
            return seen

        for visitor in ("192.0.2.1", "6.6.6.6, 192.0.2.2", "2001:db8::1"):
            assert await statuses(visitor) == [200] * FEW.burst + [429]
        assert await statuses("7.7.7.7, 192.0.2.2") == [429] * (FEW.burst + 1)
        assert await statuses("2001:db8::2") == [429] * (FEW.burst + 1)


def make_passcode(data_dir: Path) -> None:
    database = Database.open(data_dir)
    Administration(database).make_passcode()
    database.close()


# Connections


@pytest.fixture
async def small_url(tmp_path: Path) -> AsyncIterator[str]:
    async with running_relay(
        tmp_path / "relay", max_connections=3, max_connections_per_address=2, head_timeout_s=1.0
    ) as url:
        yield url


async def open_raw(url: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    parts = urlsplit(url)
    return await asyncio.open_connection(parts.hostname, parts.port)


async def ended(reader: asyncio.StreamReader) -> bytes:
    """What the relay says until it ends the connection."""
    try:
        return await asyncio.wait_for(reader.read(), BOUND_S)
    except ConnectionError:
        return b""


@pytest.mark.parametrize(
    "said",
    [
        b"GET /health HTTP/1.1\r\nHost: x\r\n",
        *(pytest.param(said, marks=pytest.mark.slow) for said in (b"", b"\x16\x03\x01")),
    ],
)
async def test_who_does_not_finish_a_requests_head_is_sent_away(small_url: str, said: bytes) -> None:
    reader, writer = await open_raw(small_url)
    writer.write(said)
    await ended(reader)
    writer.close()


async def test_dripping_a_head_gains_no_time(small_url: str) -> None:
    reader, writer = await open_raw(small_url)
    ending = asyncio.create_task(ended(reader))
    writer.write(b"GET /health HTTP/1.1\r\n")
    async with asyncio.timeout(BOUND_S):
        while not ending.done():
            writer.write(b"X-A: b\r\n")
            await asyncio.wait({ending}, timeout=0.05)
    writer.close()


@pytest.mark.slow
async def test_after_an_answer_the_next_head_has_the_same_time(small_url: str) -> None:
    reader, writer = await open_raw(small_url)
    writer.write(b"GET /health HTTP/1.1\r\nHost: x\r\n\r\nGET /health HTTP/1.1\r\n")
    assert (await ended(reader)).startswith(b"HTTP/1.1 200 OK")
    writer.close()


@pytest.mark.slow
async def test_a_websocket_may_be_silent_for_longer(small_url: str) -> None:
    tokens = await sign_in(small_url, "alice")
    async with RelayClient.connect(small_url) as quiet:
        await quiet.hello(tokens.access_token)
        reader, writer = await open_raw(small_url)
        await ended(reader)
        writer.close()
        assert await quiet.projects() == []


async def test_one_address_has_so_many_connections_and_gets_them_back(small_url: str) -> None:
    async with AsyncExitStack() as stack:
        for _ in range(2):
            await stack.enter_async_context(RawSocket.connect(small_url))
        reader, writer = await open_raw(small_url)
        assert await ended(reader) == b""
        writer.close()
    async with asyncio.timeout(BOUND_S):
        while True:
            try:
                async with RawSocket.connect(small_url, DAEMON_PATH):
                    return
            except (asyncio.IncompleteReadError, ConnectionError):
                continue


async def test_behind_a_proxy_each_visitor_has_connections_of_its_own(tmp_path: Path) -> None:
    make_passcode(tmp_path / "relay")
    settings: dict[str, Any] = {"identity": "passcode", "trusted_proxies": 1, "max_connections_per_address": 1}
    async with running_relay(tmp_path / "relay", **settings) as url, aiohttp.ClientSession() as http:

        async def connect(visitor: str) -> aiohttp.ClientWebSocketResponse[bool]:
            return await http.ws_connect(f"{url}/ws/client", headers={"X-Forwarded-For": visitor})

        first, other = await connect("192.0.2.1"), await connect("192.0.2.2")
        with pytest.raises(aiohttp.WSServerHandshakeError) as refusal:
            await connect("192.0.2.1")
        assert refusal.value.status == 429
        await first.close()
        async with asyncio.timeout(BOUND_S):
            while (again := await connected_or_none(connect("192.0.2.1"))) is None:
                pass
        await again.close()
        await other.close()


async def connected_or_none(
    connecting: Awaitable[aiohttp.ClientWebSocketResponse[bool]],
) -> aiohttp.ClientWebSocketResponse[bool] | None:
    try:
        return await connecting
    except aiohttp.WSServerHandshakeError:
        return None


async def test_strangers_of_one_address_send_so_much_and_who_is_signed_in_as_much_as_ever(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is no whole message yet is kept in memory."""
    monkeypatch.setattr(strangers.Strangers.__init__, "__defaults__", (3 * MIB,))
    begun = head_of_frame(8 * MIB) + bytes(2 * MIB)
    async with running_relay(tmp_path / "relay") as url:
        tokens = await sign_in(url, "alice")
        async with (
            RelayClient.connect(url) as phone,
            RawSocket.connect(url, DAEMON_PATH) as first,
            RawSocket.connect(url, DAEMON_PATH) as second,
        ):
            await phone.hello(tokens.access_token)
            for stranger in (first, second):
                stranger.writer.write(begun)
            ending = [asyncio.create_task(stranger.read_to_end()) for stranger in (first, second)]
            done, _ = await asyncio.wait(ending, timeout=BOUND_S / 2, return_when=asyncio.FIRST_COMPLETED)
            assert len(done) == 1
            for _ in range(3):
                await phone.request("machines_list", {"filler": "x" * 2 * MIB})


def test_what_strangers_sent_is_given_back_when_they_authenticate_or_go() -> None:
    of_all = strangers.Strangers(100)
    first, second = of_all.account("2001:db8::1"), of_all.account("2001:db8::2")
    assert first.takes(100)
    assert not second.takes(1)
    assert of_all.account("192.0.2.1").takes(100)
    for _ in range(2):
        first.close()
    assert first.takes(1000)
    assert second.takes(99)
    assert not second.takes(1)
