"""Who may speak at all: docs/protocol.md, "Connections" and "Authentication"."""

import asyncio
import base64
from pathlib import Path

import aiohttp
import jwt
import pytest

from host.protocol.messages.auth import HOST_CLIENT_ID, AuthExchange, Tokens
from host.protocol.messages.base import encode_payload
from relay_stub.client import RelayClient, authorize
from relay_stub.config import RelayConfig
from tests.support.relay import (
    CLIENT_PATH,
    DAEMON_PATH,
    RawSocket,
    answer_to,
    assert_closed_as_unauthorized,
    close_code,
    error_of,
    frame,
    hello,
    masked,
    next_message,
    registration,
    reuse_first_refresh_token,
    running_relay,
    sign_in,
)


def test_the_times_are_the_contracts(tmp_path: Path) -> None:
    config = RelayConfig(tmp_path)
    assert config.authentication_timeout_s == 10
    assert config.token_expiry_grace_s == 60
    assert config.access_lifetime_s == 15 * 60
    assert (config.heartbeat_interval_s, config.heartbeat_timeout_s) == (20, 20)
    assert config.request_timeout_s == 15


@pytest.mark.parametrize("path", [CLIENT_PATH, DAEMON_PATH])
async def test_who_says_nothing_is_closed_when_the_window_is_over(tmp_path: Path, path: str) -> None:
    async with (
        running_relay(tmp_path / "relay", authentication_timeout_s=0.1) as url,
        RelayClient.connect(url, path=path) as stranger,
    ):
        await assert_closed_as_unauthorized(stranger)


@pytest.mark.slow
async def test_signing_in_without_a_hello_does_not_lengthen_the_window(tmp_path: Path) -> None:
    async with (
        running_relay(tmp_path / "relay", authentication_timeout_s=1.5) as url,
        aiohttp.ClientSession() as http,
        RelayClient.connect(url) as stranger,
    ):
        code, verifier, redirect_uri = await authorize(http, url, "alice")
        await stranger.tokens(AuthExchange(code=code, code_verifier=verifier, redirect_uri=redirect_uri))
        await assert_closed_as_unauthorized(stranger)


@pytest.mark.slow
async def test_who_waits_for_a_device_code_may_wait_as_long_as_it_lives(tmp_path: Path) -> None:
    async with (
        running_relay(tmp_path / "relay", authentication_timeout_s=1.0) as url,
        RelayClient.connect(url, path=DAEMON_PATH) as device,
    ):
        authorized = await device.request("device_authorize", {"clientId": HOST_CLIENT_ID})
        async with RelayClient.connect(url) as later_stranger:
            assert await close_code(later_stranger) == 4401
        refused = await error_of(device, "device_token", payload={"deviceCode": authorized["deviceCode"]})
        assert refused.code == "AUTHORIZATION_PENDING"


async def test_a_machine_without_a_browser_signs_in_and_registers_on_one_connection(relay_url: str) -> None:
    async with aiohttp.ClientSession() as http, RelayClient.connect(relay_url, path=DAEMON_PATH) as device:
        authorized = await device.request("device_authorize", {"clientId": HOST_CLIENT_ID})
        form = {"user_code": authorized["userCode"], "decision": "approve", "login": "alice"}
        async with http.post(authorized["verificationUri"], data=form) as page:
            assert page.status == 200
        tokens = await device.request("device_token", {"deviceCode": authorized["deviceCode"]})
        registered = await device.request("daemon_register", registration(tokens["accessToken"]))
        assert registered["user"] == {"id": tokens["user"]["id"], "login": "alice"}


async def test_before_the_hello_everything_but_signing_in_is_unauthorized(relay_url: str) -> None:
    for path, wire_type in [
        (CLIENT_PATH, "machines_list"),
        (CLIENT_PATH, "projects_list"),
        (CLIENT_PATH, "project_join"),
        (CLIENT_PATH, "fs_list"),
        (CLIENT_PATH, "daemon_register"),
        (CLIENT_PATH, "brand_new"),
        (CLIENT_PATH, "relay.machine_lost"),
        (CLIENT_PATH, "error"),
        (DAEMON_PATH, "client_hello"),
        (DAEMON_PATH, "fs_changed"),
        (DAEMON_PATH, "machines_list"),
    ]:
        async with RelayClient.connect(relay_url, path=path) as stranger:
            await stranger.send_raw(frame(wire_type, requestId="r1"))
            await assert_closed_as_unauthorized(stranger, request_id="r1")


async def test_before_the_hello_also_nonsense_is_unauthorized(relay_url: str) -> None:
    for nonsense, is_binary in [(b"nonsense", False), (b"{}", True), (b'{"type":"x","sessionId":7}', False)]:
        async with RelayClient.connect(relay_url) as stranger:
            await stranger.send_raw(nonsense, binary=is_binary)
            await assert_closed_as_unauthorized(stranger)


async def test_nothing_is_done_for_what_a_stranger_sends_after_a_refused_message(relay_url: str) -> None:
    host = await sign_in(relay_url, "alice", client_id=HOST_CLIENT_ID)
    refused = frame("machines_list", requestId="r1")
    register = frame("daemon_register", requestId="r2", payload=registration(host.access_token))
    async with RawSocket.connect(relay_url, DAEMON_PATH) as stranger:
        stranger.writer.write(masked(refused) + masked(register))
        assert (await stranger.receive_message())["requestId"] == "r1"
        assert await stranger.read_to_close() == 4401
    async with RelayClient.sign_in(relay_url, "alice") as client:
        assert client.welcome["machines"] == []


async def test_every_bad_token_is_refused_with_the_same_bytes(tmp_path: Path, relay_url: str) -> None:
    async with running_relay(tmp_path / "other") as other_url:
        foreign = await sign_in(other_url, "alice")
    alice = await sign_in(relay_url, "alice")
    host = await sign_in(relay_url, "alice", client_id=HOST_CLIENT_ID)
    revoked = await revoked_tokens(relay_url)
    head, body, signature = alice.access_token.split(".")
    claims = jwt.decode(alice.access_token, options={"verify_signature": False})
    bad_tokens = [
        "",
        "nonsense",
        "a.b.c",
        7,
        None,
        {"token": alice.access_token},
        alice.access_token + "x",
        f"{head}.{body}.{signature[::-1]}",
        f"{head}.{encoded(body_of(claims, login='root'))}.{signature}",
        jwt.encode(claims, "", algorithm="none"),
        jwt.encode(claims, "guessed" * 8, algorithm="HS256", headers=jwt.get_unverified_header(alice.access_token)),
        alice.refresh_token,
        foreign.access_token,
        host.access_token,
        revoked.access_token,
    ]
    for token in bad_tokens:
        async with RelayClient.connect(relay_url) as stranger:
            await stranger.send_raw(hello(token))
            await assert_closed_as_unauthorized(stranger, request_id="hello")


async def test_a_daemon_needs_a_hosts_token_and_gets_the_same_refusal(relay_url: str) -> None:
    web = await sign_in(relay_url, "alice")
    for token in (web.access_token, "nonsense"):
        async with RelayClient.connect(relay_url, path=DAEMON_PATH) as stranger:
            await stranger.send_raw(frame("daemon_register", requestId="hello", payload=registration(token)))
            await assert_closed_as_unauthorized(stranger, request_id="hello")


async def test_a_hello_whose_payload_cannot_be_read_holds_no_good_token(relay_url: str) -> None:
    payloads: list[object] = [[], "text", {}, None]
    for payload in payloads:
        async with RelayClient.connect(relay_url) as stranger:
            await stranger.send_raw(frame("client_hello", requestId="hello", payload=payload))
            await assert_closed_as_unauthorized(stranger, request_id="hello")


async def test_a_bad_code_and_a_bad_refresh_token_are_refused_alike(relay_url: str) -> None:
    exchange = AuthExchange(code="nonsense", code_verifier="v" * 43, redirect_uri="http://127.0.0.1:1/callback")
    for sent in (
        frame("auth_exchange", requestId="r1", payload=encode_payload(exchange)),
        frame("token_refresh", requestId="r1", payload={"refreshToken": "nonsense"}),
    ):
        async with RelayClient.connect(relay_url) as stranger:
            await stranger.send_raw(sent)
            await assert_closed_as_unauthorized(stranger, request_id="r1")


async def test_a_version_that_is_not_spoken_closes_with_4426_and_says_what_to_do(relay_url: str) -> None:
    tokens = await sign_in(relay_url, "alice")
    for version in (2, 0, None, "1", 1.5, [1]):
        async with RelayClient.connect(relay_url) as newer:
            await newer.send_raw(hello(tokens.access_token, version=version))
            error = (await next_message(newer))["error"]
            assert "Upgrade" in error["message"]
            assert error["details"]["errors"][0]["field"] == "protocolVersion"
            assert await close_code(newer) == 4426


async def test_a_daemon_of_another_version_is_not_registered(relay_url: str) -> None:
    host = await sign_in(relay_url, "alice", client_id=HOST_CLIENT_ID)
    async with RelayClient.connect(relay_url, path=DAEMON_PATH) as newer:
        payload = registration(host.access_token) | {"protocolVersion": 2, "projects": "of a shape nobody knows yet"}
        await newer.send_raw(frame("daemon_register", requestId="hello", payload=payload))
        assert await close_code(newer) == 4426
    async with RelayClient.sign_in(relay_url, "alice") as client:
        assert client.welcome["machines"] == []


async def test_the_token_is_looked_at_before_the_version(relay_url: str) -> None:
    async with RelayClient.connect(relay_url) as stranger:
        await stranger.send_raw(hello("nonsense", version=2))
        await assert_closed_as_unauthorized(stranger, request_id="hello")


async def test_a_hello_with_a_good_token_and_a_wrong_payload_may_be_mended(relay_url: str) -> None:
    host = await sign_in(relay_url, "alice", client_id=HOST_CLIENT_ID)
    async with RelayClient.connect(relay_url, path=DAEMON_PATH) as daemon:
        payload = registration(host.access_token)
        refused = await answer_to(daemon, "daemon_register", payload=payload | {"machineKey": "not a key"})
        assert refused["error"]["code"] == "INVALID_REQUEST"
        assert refused["error"]["details"]["errors"][0]["field"] == "machineKey"
        await daemon.request("daemon_register", payload)


async def revoked_tokens(relay_url: str) -> Tokens:
    tokens = await sign_in(relay_url, "alice")
    await asyncio.wait_for(reuse_first_refresh_token(relay_url, tokens), 10)
    return tokens


def body_of(claims: dict[str, object], **changes: object) -> bytes:
    return frame("", **(claims | changes))


def encoded(body: bytes) -> str:
    return base64.urlsafe_b64encode(body).rstrip(b"=").decode()
