"""The link to a relay that behaves; its troubles are in test_link_troubles and test_link_sign_in."""

import asyncio
from pathlib import Path

import msgspec
import pytest
from msgspec.structs import replace

from host.protocol.errors import ErrorCode
from host.protocol.messages.system import DaemonRegister
from host.relay.connection_state import State
from tests.support.host import (
    LinkRig,
    ScriptedRelay,
    eventually,
    plain_registration,
    registration_with,
    running,
    scripted_relay,
    stored_tokens,
    tokens_for,
)


async def test_a_link_registers_and_is_connected_only_then(relay: ScriptedRelay, rig: LinkRig) -> None:
    async with running(rig.make()) as link:
        peer = await relay.next_peer()
        assert link.status.state is State.CONNECTING
        registration = await peer.register()
        await eventually(lambda: link.status.state is State.CONNECTED)

        assert registration.token == "access-1"
        assert link.user_id == "user-1"
        assert link.status.url == relay.url
        assert link.status.last_connected_at is not None
        assert link.status.last_heartbeat_at is not None
        assert link.status.last_error is None
        assert link.status.next_try_at is None


async def test_a_relay_may_have_limits_of_its_own(relay: ScriptedRelay, rig: LinkRig) -> None:
    async with running(rig.make()) as link:
        peer = await relay.next_peer()
        request = await peer.expect("daemon_register")
        payload = {
            "connectionId": "connection-1",
            "user": {"id": "user-1", "login": "alice"},
            "serverTime": "2026-02-12T10:00:00.123Z",
            "relayVersion": "9",
            "limits": {"messagesPerS": 100},
        }
        answer = {"type": "daemon_registered", "requestId": request.request_id, "payload": payload}
        await peer.send_raw(msgspec.json.encode(answer))
        await eventually(lambda: link.status.state is State.CONNECTED)


async def test_a_stopped_link_says_goodbye_and_is_disconnected(relay: ScriptedRelay, rig: LinkRig) -> None:
    async with running(rig.make()) as link:
        peer = await relay.next_peer()
        await peer.register()
        await eventually(lambda: link.status.state is State.CONNECTED)

    assert await peer.closed() == 1000
    assert link.status.state is State.DISCONNECTED


async def test_when_the_relay_was_last_heard_is_told_also_after_the_connection_is_gone(
    relay: ScriptedRelay, rig: LinkRig
) -> None:
    async with running(rig.make()) as link:
        peer = await relay.next_peer()
        await peer.register()
        # Not link.status, which notes the time itself.
        await eventually(lambda: link._status.state is State.CONNECTED)
        peer.break_off()
        await relay.next_peer()

    assert link.status.last_heartbeat_at is not None


async def test_what_waits_in_the_outbox_is_sent_and_requests_are_handed_on(relay: ScriptedRelay, rig: LinkRig) -> None:
    async with running(rig.make()) as link:
        peer = await relay.next_peer()
        await peer.register()
        await eventually(lambda: link.status.state is State.CONNECTED)
        await peer.ask("fs_read", {"path": "a"}, request_id="r1")
        await rig.outbox.put(b'{"type":"fs_changed"}')

        assert (await peer.receive()).type == "fs_changed"
        await eventually(lambda: [request.request_id for request in rig.accepted] == ["r1"])


async def test_what_is_no_message_is_dropped_and_the_link_lives_on(relay: ScriptedRelay, rig: LinkRig) -> None:
    async with running(rig.make()):
        peer = await relay.next_peer()
        await peer.register()
        for frame in (
            b"",
            b"nonsense",
            b"[1]",
            b'{"type":5}',
            b'{"type":"fs_read","requestId":7}',
            b"\xff",
            b"[" * 9999,
        ):
            await peer.send_raw(frame)
        await peer.ask("fs_read", {"path": "a"}, request_id="after")

        await eventually(lambda: [request.request_id for request in rig.accepted] == ["after"])


async def test_nothing_is_sent_ahead_of_the_registration(relay: ScriptedRelay, rig: LinkRig) -> None:
    async with running(rig.make()) as link:
        peer = await relay.next_peer()
        assert await rig.outbox.put(b'{"type":"too_early"}') is False
        await peer.register()
        await eventually(lambda: link.status.state is State.CONNECTED)
        assert await rig.outbox.put(b'{"type":"in_time"}') is True

        assert (await peer.receive()).type == "in_time"


async def test_a_change_of_projects_or_label_registers_again_on_the_same_connection(
    relay: ScriptedRelay, rig: LinkRig
) -> None:
    label = "desk"

    async def registration(token: str) -> DaemonRegister:
        return registration_with(token, label=label)

    async with running(rig.make(registration=registration)) as link:
        peer = await relay.next_peer()
        assert (await peer.register()).machine.label == "desk"
        label = "lap"
        link.changed()

        assert (await peer.register()).machine.label == "lap"
        # Once, and not for ever.
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(peer.receive(), 0.1)


async def test_a_change_while_the_registration_is_under_way_is_not_lost(relay: ScriptedRelay, rig: LinkRig) -> None:
    gathering, go_on = asyncio.Event(), asyncio.Event()

    async def registration(token: str) -> DaemonRegister:
        gathering.set()
        await go_on.wait()
        return registration_with(token)

    async with running(rig.make(registration=registration)) as link:
        peer = await relay.next_peer()
        await gathering.wait()
        link.changed()
        go_on.set()

        await peer.register()
        await peer.register()


async def test_a_token_is_renewed_ahead_of_its_expiry_and_registered_on_the_live_connection(
    relay: ScriptedRelay, rig: LinkRig
) -> None:
    rig.store.sign_in(stored_tokens(relay.url, life_s=1))
    async with running(rig.make()) as link:
        peer = await relay.next_peer()
        assert (await peer.register()).token == "access-1"

        assert await peer.renew(tokens_for(access="access-2", refresh="refresh-2")) == "refresh-1"
        assert (await peer.register()).token == "access-2"
        assert link.status.state is State.CONNECTED
        stored = rig.store.tokens()
        assert stored is not None
        assert (stored.access_token, stored.refresh_token) == ("access-2", "refresh-2")


async def test_a_new_sign_in_at_another_relay_moves_a_connected_link(relay: ScriptedRelay, rig: LinkRig) -> None:
    async with scripted_relay() as other, running(rig.make()) as link:
        peer = await relay.next_peer()
        await peer.register()
        await eventually(lambda: link.status.state is State.CONNECTED)
        rig.store.sign_in(stored_tokens(other.url, access="access-other"))
        link.try_now()

        moved = await other.next_peer()
        assert (await moved.register()).token == "access-other"
        await eventually(lambda: link.status.state is State.CONNECTED)
        assert link.status.url == other.url
        await peer.closed()


async def test_a_new_sign_in_of_another_user_is_shown_on_a_new_connection_only(
    relay: ScriptedRelay, rig: LinkRig
) -> None:
    async with running(rig.make()) as link:
        peer = await relay.next_peer()
        await peer.register()
        await eventually(lambda: link.status.state is State.CONNECTED)
        other = stored_tokens(relay.url, access="access-bob", refresh="refresh-bob")
        rig.store.sign_in(replace(other, user_id="user-2"))
        link.try_now()

        again = await relay.next_peer()
        assert (await again.register()).token == "access-bob"
        await peer.closed()


async def test_signing_out_while_connected_ends_the_connection_and_says_login(
    relay: ScriptedRelay, rig: LinkRig, tmp_path: Path
) -> None:
    async with running(rig.make()) as link:
        peer = await relay.next_peer()
        await peer.register()
        await eventually(lambda: link.status.state is State.CONNECTED)
        (tmp_path / "auth.json").unlink()
        link.changed()

        await peer.closed()
        await eventually(lambda: link.status.state is State.DISCONNECTED)
        assert "pocketcoder login" in (link.status.last_error or "")
        rig.store.sign_in(stored_tokens(relay.url))
        await (await relay.next_peer()).register()


async def test_a_closed_connection_is_dialled_again_and_meanwhile_told_as_reconnecting(
    relay: ScriptedRelay, rig: LinkRig
) -> None:
    async with running(rig.make()) as link:
        for code in (1001, 1009, 1013, 4400):
            peer = await relay.next_peer()
            await peer.register()
            await eventually(lambda: link.status.state is State.CONNECTED)
            await peer.close(code)
            again = await relay.next_peer()
            assert link.status.state is State.RECONNECTING
            assert f"code {code}" in (link.status.last_error or "")
            again.break_off()


async def test_a_connection_that_breaks_off_is_dialled_again(relay: ScriptedRelay, rig: LinkRig) -> None:
    async with running(rig.make()) as link:
        peer = await relay.next_peer()
        await peer.register()
        peer.break_off()

        await (await relay.next_peer()).register()
        await eventually(lambda: link.status.state is State.CONNECTED)


async def test_a_trouble_of_the_hosts_own_is_no_end_of_the_trying(relay: ScriptedRelay, rig: LinkRig) -> None:
    troubles: list[Exception] = [OSError(28, "No space left on device: /secret"), LookupError("secret")]

    async def registration(token: str) -> DaemonRegister:
        if troubles:
            raise troubles.pop()
        return await plain_registration(token)

    link = rig.make(registration=registration)
    async with running(link):
        for _ in range(2):
            await (await relay.next_peer()).closed()
        peer = await relay.next_peer()
        assert "secret" not in (link.status.last_error or "secret")
        await peer.register()
        await eventually(lambda: link.status.state is State.CONNECTED)


async def test_a_registration_that_is_refused_is_tried_again(relay: ScriptedRelay, rig: LinkRig) -> None:
    async with running(rig.make()) as link:
        peer = await relay.next_peer()
        await peer.refuse(await peer.expect("daemon_register"), ErrorCode.RATE_LIMITED)
        again = await relay.next_peer()
        assert link.status.state is State.CONNECTING
        await again.register()
