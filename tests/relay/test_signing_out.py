"""``token_revoke``: docs/protocol.md, "Signing in"."""

from relay_stub.client import RelayClient
from tests.support.relay import (
    DAEMON_PATH,
    ScriptedDaemon,
    answer_to,
    assert_closed_as_unauthorized,
    error_of,
    refresh,
    sign_in,
)


async def test_a_machine_that_signs_out_ends_its_session_and_its_connection(relay_url: str) -> None:
    async with ScriptedDaemon.connect(relay_url, "alice") as daemon, RelayClient.connect(relay_url) as stranger:
        answer = await answer_to(stranger, "token_revoke", payload=refresh(daemon.tokens))
        assert (answer["type"], answer["payload"]) == ("token_revoke_response", {})
        await assert_closed_as_unauthorized(daemon.peer)
        assert (await error_of(stranger, "token_refresh", payload=refresh(daemon.tokens))).code == "UNAUTHORIZED"


async def test_who_signs_out_on_its_own_connection_is_answered_before_it_is_closed(relay_url: str) -> None:
    async with ScriptedDaemon.connect(relay_url, "alice") as daemon:
        assert await daemon.peer.request("token_revoke", refresh(daemon.tokens)) == {}
        await assert_closed_as_unauthorized(daemon.peer)


async def test_a_token_that_is_none_any_more_is_revoked_as_well(relay_url: str) -> None:
    tokens = await sign_in(relay_url, "alice")
    async with RelayClient.connect(relay_url, path=DAEMON_PATH) as stranger:
        for token in ("nonsense", ".", tokens.refresh_token, tokens.refresh_token):
            assert await stranger.request("token_revoke", {"refreshToken": token}) == {}
        # Still a stranger who may sign in.
        assert await stranger.request("device_authorize", {"clientId": "pocketcoder-host"})


async def test_a_token_that_was_replaced_ends_its_session_too(relay_url: str) -> None:
    """As its reuse would: whoever has it has no business with it."""
    tokens = await sign_in(relay_url, "alice")
    async with RelayClient.connect(relay_url) as phone:
        second = await phone.request("token_refresh", refresh(tokens))
        await phone.hello(second["accessToken"])
        assert await phone.request("token_revoke", refresh(tokens)) == {}
        await assert_closed_as_unauthorized(phone)


async def test_other_sessions_of_the_user_live_on(relay_url: str) -> None:
    tokens = await sign_in(relay_url, "alice")
    async with RelayClient.sign_in(relay_url, "alice") as phone, RelayClient.connect(relay_url) as stranger:
        await stranger.request("token_revoke", refresh(tokens))
        assert await phone.projects() == []


async def test_a_request_without_a_token_is_invalid(relay_url: str) -> None:
    async with RelayClient.connect(relay_url) as stranger:
        assert (await error_of(stranger, "token_revoke", payload={})).code == "INVALID_REQUEST"
