"""How long who signed in may go on: docs/protocol.md, "Connections"."""

import asyncio
import time
from contextlib import AsyncExitStack
from datetime import datetime
from pathlib import Path

import pytest

from relay_stub.client import RelayClient
from tests.support.relay import (
    ScriptedDaemon,
    answer_to,
    assert_closed_as_unauthorized,
    close_code,
    error_of,
    frame,
    hello,
    next_message,
    refresh,
    registration,
    reuse_first_refresh_token,
    running_relay,
    settled,
    sign_in,
)

pytestmark = pytest.mark.slow

# It counts from the beginning of the second in which a token is signed, so that a second less may be left of it.
LIFETIME_S = 2


async def test_an_expired_token_is_refused_like_any_other(tmp_path: Path) -> None:
    async with running_relay(tmp_path / "relay", access_lifetime_s=LIFETIME_S, token_expiry_grace_s=0) as url:
        tokens = await sign_in(url, "alice")
        async with RelayClient.connect(url) as watch:
            await watch.hello(tokens.access_token)
            await assert_closed_as_unauthorized(watch)
        async with RelayClient.connect(url) as late:
            await late.send_raw(hello(tokens.access_token))
            await assert_closed_as_unauthorized(late, request_id="hello")


async def test_after_expiry_and_grace_only_those_who_said_hello_again_stay(tmp_path: Path) -> None:
    async with running_relay(tmp_path / "relay", access_lifetime_s=LIFETIME_S, token_expiry_grace_s=1) as url:
        tokens = await sign_in(url, "alice")
        async with RelayClient.sign_in(url, "alice") as renewing, RelayClient.connect(url) as idle:
            await idle.hello(tokens.access_token)
            await assert_closed_as_unauthorized(idle)
            expired_s = time.time() - datetime.fromisoformat(tokens.expires_at).timestamp()
            assert expired_s >= 0.99
            assert await renewing.projects() == []


async def test_a_refresh_works_on_a_live_connection_and_the_new_token_is_taken_there(relay_url: str) -> None:
    async with ScriptedDaemon.connect(relay_url, "alice") as daemon:
        refreshed = await daemon.peer.request("token_refresh", refresh(daemon.tokens))
        assert refreshed["accessToken"] != daemon.tokens.access_token
        payload = registration(refreshed["accessToken"])
        registered = await daemon.peer.request("daemon_register", payload)
        assert registered["connectionId"] == daemon.registered["connectionId"]


async def test_a_bad_refresh_token_closes_also_a_live_connection(relay_url: str) -> None:
    async with RelayClient.sign_in(relay_url, "alice") as client:
        await client.send_raw(frame("token_refresh", requestId="r1", payload={"refreshToken": "nonsense"}))
        await assert_closed_as_unauthorized(client, request_id="r1")


async def test_a_live_connection_is_not_handed_to_another_user(relay_url: str) -> None:
    bob = await sign_in(relay_url, "bob")
    async with RelayClient.sign_in(relay_url, "alice") as client:
        await client.send_raw(hello(bob.access_token))
        await assert_closed_as_unauthorized(client, request_id="hello")


async def test_a_reused_refresh_token_closes_the_sessions_connections_at_once_and_no_others(relay_url: str) -> None:
    first = await sign_in(relay_url, "alice")
    async with (
        RelayClient.connect(relay_url) as revoked,
        RelayClient.sign_in(relay_url, "alice") as other_session,
    ):
        await revoked.hello(first.access_token)
        await reuse_first_refresh_token(relay_url, first)
        await assert_closed_as_unauthorized(revoked)
        assert await settled(other_session) == []


async def test_who_shows_a_reused_refresh_token_on_the_sessions_own_connection_is_answered(relay_url: str) -> None:
    tokens = await sign_in(relay_url, "alice")
    async with RelayClient.connect(relay_url) as client:
        await client.hello(tokens.access_token)
        second = await client.request("token_refresh", refresh(tokens))
        await client.request("token_refresh", {"refreshToken": second["refreshToken"]})
        await client.send_raw(frame("token_refresh", requestId="reuse", payload=refresh(tokens)))
        await assert_closed_as_unauthorized(client, request_id="reuse")


async def test_a_daemons_connection_is_closed_with_its_session_too(relay_url: str) -> None:
    async with (
        ScriptedDaemon.connect(relay_url, "alice") as daemon,
        RelayClient.sign_in(relay_url, "alice") as client,
    ):
        await reuse_first_refresh_token(relay_url, daemon.tokens)
        await assert_closed_as_unauthorized(daemon.peer)
        status = await next_message(client)
        assert (status["type"], status["payload"]["connected"]) == ("daemon_status", False)


async def test_two_triggers_that_refresh_at_once_both_get_tokens_of_which_the_last_count(relay_url: str) -> None:
    tokens = await sign_in(relay_url, "alice")
    async with RelayClient.connect(relay_url) as peer:
        earlier, later = await asyncio.gather(*(peer.request("token_refresh", refresh(tokens)) for _ in range(2)))
        for answer in (earlier, later):
            await peer.hello(answer["accessToken"])
        await peer.request("token_refresh", {"refreshToken": later["refreshToken"]})
        await peer.send_raw(
            frame("token_refresh", requestId="reuse", payload={"refreshToken": earlier["refreshToken"]})
        )
        await assert_closed_as_unauthorized(peer, request_id="reuse")


async def test_refreshing_on_many_connections_at_once_leaves_at_most_one_good_token(relay_url: str) -> None:
    tokens = await sign_in(relay_url, "alice")
    async with AsyncExitStack() as stack:
        peers = [await stack.enter_async_context(RelayClient.connect(relay_url)) for _ in range(5)]
        answers = await asyncio.gather(*(answer_to(peer, "token_refresh", payload=refresh(tokens)) for peer in peers))
        # A third use of one token is no lost answer any more: two hold it.
        assert [answer["type"] for answer in answers].count("token_refresh_response") == 2
        async with RelayClient.connect(relay_url) as late:
            await late.send_raw(hello(tokens.access_token))
            await assert_closed_as_unauthorized(late, request_id="hello")


async def test_an_answer_lost_with_the_relay_can_be_asked_for_again(tmp_path: Path) -> None:
    async with running_relay(tmp_path / "relay") as url:
        tokens = await sign_in(url, "alice")
        async with RelayClient.connect(url) as unlucky:
            lost = await unlucky.request("token_refresh", refresh(tokens))
    async with running_relay(tmp_path / "relay") as url, RelayClient.connect(url) as client:
        again = await client.request("token_refresh", refresh(tokens))
        await client.hello(again["accessToken"])
        # Whoever shows what was lost has taken it from the wire.
        assert (await error_of(client, "token_refresh", payload={"refreshToken": lost["refreshToken"]})).code == (
            "UNAUTHORIZED"
        )
        assert await close_code(client) == 4401
