"""The link and its sign-in: refused, renewed, given up, come back."""

import asyncio
from pathlib import Path

import pytest

from host.auth.token_store import TokenStore
from host.protocol.errors import ErrorCode
from host.relay.connection_state import State
from tests.support.host import (
    LinkRig,
    ScriptedRelay,
    eventually,
    running,
    stored_tokens,
    tokens_for,
)

# Long enough for many tries and many looks at auth.json, all of them hurried.
QUIET_S = 0.15


async def expect_no_try(relay: ScriptedRelay) -> None:
    with pytest.raises(TimeoutError):
        await relay.next_peer(QUIET_S)


async def test_a_refused_access_token_is_renewed_and_the_new_one_registered(relay: ScriptedRelay, rig: LinkRig) -> None:
    async with running(rig.make()) as link:
        peer = await relay.next_peer()
        await peer.refuse(await peer.expect("daemon_register"), ErrorCode.UNAUTHORIZED)
        await peer.close(4401)

        again = await relay.next_peer()
        assert await again.renew(tokens_for(access="access-2", refresh="refresh-2")) == "refresh-1"
        assert (await again.register()).token == "access-2"
        await eventually(lambda: link.status.state is State.CONNECTED)


async def test_a_connection_closed_with_4401_is_dialled_again_with_a_renewed_token(
    relay: ScriptedRelay, rig: LinkRig
) -> None:
    async with running(rig.make()):
        peer = await relay.next_peer()
        await peer.register()
        await peer.close(4401)

        again = await relay.next_peer()
        await again.renew(tokens_for(access="access-2", refresh="refresh-2"))
        assert (await again.register()).token == "access-2"


async def test_an_answer_to_a_renewal_that_is_lost_leaves_the_old_token_to_be_used_again(
    relay: ScriptedRelay, rig: LinkRig
) -> None:
    rig.store.sign_in(stored_tokens(relay.url, life_s=-1))
    async with running(rig.make()):
        peer = await relay.next_peer()
        await peer.expect("token_refresh")
        peer.break_off()

        again = await relay.next_peer()
        assert await again.renew(tokens_for(access="access-2", refresh="refresh-2")) == "refresh-1"
        assert (await again.register()).token == "access-2"


@pytest.mark.parametrize("closes", [True, False], ids=["and closes", "and stays"])
async def test_a_refused_refresh_token_says_login_and_a_new_sign_in_is_noticed_by_itself(
    relay: ScriptedRelay, rig: LinkRig, closes: bool
) -> None:
    rig.store.sign_in(stored_tokens(relay.url, life_s=-1))
    async with running(rig.make()) as link:
        peer = await relay.next_peer()
        await peer.refuse(await peer.expect("token_refresh"), ErrorCode.UNAUTHORIZED)
        if closes:
            await peer.close(4401)
        await eventually(lambda: link.status.state is State.DISCONNECTED)
        assert link.status.last_error == "The relay ended this sign-in. Sign in again with: pocketcoder login"
        await expect_no_try(relay)

        rig.store.sign_in(stored_tokens(relay.url, access="access-new", refresh="refresh-new"))
        assert (await (await relay.next_peer()).register()).token == "access-new"
        await eventually(lambda: link.status.state is State.CONNECTED)


async def test_a_renewal_refused_for_another_reason_is_no_end_of_the_sign_in(
    relay: ScriptedRelay, rig: LinkRig
) -> None:
    rig.store.sign_in(stored_tokens(relay.url, life_s=-1))
    async with running(rig.make()):
        peer = await relay.next_peer()
        await peer.refuse(await peer.expect("token_refresh"), ErrorCode.RATE_LIMITED)

        again = await relay.next_peer()
        assert await again.renew(tokens_for(access="access-2", refresh="refresh-2")) == "refresh-1"
        await again.register()


async def test_nobody_signed_in_makes_no_try_until_somebody_is(relay: ScriptedRelay, tmp_path: Path) -> None:
    rig = LinkRig(TokenStore(tmp_path / "auth.json"), gateway_url=relay.url)
    async with running(rig.make()) as link:
        await eventually(lambda: link.status.last_error is not None)
        assert link.status.state is State.DISCONNECTED
        assert link.status.last_error == "Nobody is signed in. Sign in with: pocketcoder login"
        await expect_no_try(relay)

        rig.store.sign_in(stored_tokens(relay.url))
        await (await relay.next_peer()).register()


async def test_tokens_of_another_relay_are_never_shown_to_this_one(relay: ScriptedRelay, tmp_path: Path) -> None:
    rig = LinkRig(TokenStore(tmp_path / "auth.json"), gateway_url=relay.url)
    rig.store.sign_in(stored_tokens("wss://elsewhere.example"))
    async with running(rig.make()) as link:
        await eventually(lambda: link.status.last_error is not None)
        assert f"pocketcoder login --relay {relay.url}" in (link.status.last_error or "")
        assert f"relay.url in config.toml, makes this daemon use {relay.url}." in (link.status.last_error or "")
        await expect_no_try(relay)


@pytest.mark.parametrize(
    ("code", "says"), [(4409, "Another daemon registered"), (4426, "Upgrade pocketcoder on this machine")]
)
async def test_replaced_or_of_another_version_stays_disconnected_until_somebody_asks(
    relay: ScriptedRelay, rig: LinkRig, code: int, says: str
) -> None:
    async with running(rig.make()) as link:
        peer = await relay.next_peer()
        await peer.register()
        await eventually(lambda: link.status.state is State.CONNECTED)
        await peer.close(code)
        await eventually(lambda: link.status.state is State.DISCONNECTED)
        assert says in (link.status.last_error or "")
        assert "pocketcoder start" in (link.status.last_error or "")
        rig.store.sign_in(stored_tokens(relay.url, access="access-2", refresh="refresh-2"))
        link.changed()
        await expect_no_try(relay)

        link.try_now()
        await (await relay.next_peer()).register()
        await eventually(lambda: link.status.state is State.CONNECTED)


async def test_a_sleep_does_not_bring_back_a_daemon_that_another_one_replaced(
    relay: ScriptedRelay, rig: LinkRig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("host.relay.link._WAKE_INTERVAL_S", 0.01)
    asleep_s, looks = 1000.0, 0

    def look() -> float:
        nonlocal looks
        looks += 1
        return asleep_s

    link = rig.make()
    link.asleep_s = look
    async with running(link):
        peer = await relay.next_peer()
        await peer.register()
        await peer.close(4409)
        await eventually(lambda: "Another daemon" in (link.status.last_error or ""))
        asleep_s += 31
        seen = looks
        await eventually(lambda: looks > seen + 2)
        await expect_no_try(relay)


async def test_a_version_that_is_refused_at_the_registration_stays_disconnected(
    relay: ScriptedRelay, rig: LinkRig
) -> None:
    async with running(rig.make()) as link:
        peer = await relay.next_peer()
        await peer.refuse(await peer.expect("daemon_register"), ErrorCode.INVALID_REQUEST)
        await peer.close(4426)
        await eventually(lambda: link.status.state is State.DISCONNECTED)
        await expect_no_try(relay)


async def test_asking_while_connected_registers_again_and_breaks_nothing(relay: ScriptedRelay, rig: LinkRig) -> None:
    async with running(rig.make()) as link:
        peer = await relay.next_peer()
        await peer.register()
        await eventually(lambda: link.status.state is State.CONNECTED)
        link.try_now()
        await peer.register()
        await expect_no_try(relay)
        assert link.status.state is State.CONNECTED


async def test_a_corrupt_auth_file_while_running_is_nobody_signed_in(
    relay: ScriptedRelay, rig: LinkRig, tmp_path: Path
) -> None:
    async with running(rig.make()) as link:
        peer = await relay.next_peer()
        await peer.register()
        await eventually(lambda: link.status.state is State.CONNECTED)
        (tmp_path / "auth.json").write_bytes(b"\0garbage")
        link.changed()
        await peer.closed()
        await eventually(lambda: link.status.state is State.DISCONNECTED)

        rig.store.sign_in(stored_tokens(relay.url))
        await (await relay.next_peer()).register()


async def test_an_auth_file_that_cannot_be_read_is_tried_again(
    relay: ScriptedRelay, rig: LinkRig, tmp_path: Path
) -> None:
    auth_file = tmp_path / "auth.json"
    content = auth_file.read_bytes()
    link = rig.make()
    auth_file.unlink()
    auth_file.mkdir()
    async with running(link):
        await eventually(lambda: link.status.next_try_at is not None)
        assert link.status.last_error is not None
        assert link.status.last_error == (
            "The system refused: Is a directory. It should be a file: move the directory away."
        )
        auth_file.rmdir()
        auth_file.write_bytes(content)

        await asyncio.wait_for((await relay.next_peer()).register(), 10)
