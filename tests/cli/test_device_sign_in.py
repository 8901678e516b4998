"""Signing in by a browser elsewhere: how the relay is asked, and what ends the asking."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import msgspec
import pytest

from host.auth.login import LoginFailed
from host.auth.token_store import StoredTokens
from host.cli.signing_in import has_browser, sign_in_by_device
from host.protocol.errors import ErrorCode
from host.protocol.messages.auth import DeviceAuthorizeResponse, DeviceToken
from tests.support.host import RelayPeer, ScriptedRelay, scripted_relay, tokens_for
from tests.support.processes import free_port
from tests.support.relay import running_relay

CODE = DeviceAuthorizeResponse(
    device_code="device-code-1",
    user_code="BCDF-GHJK",
    verification_uri="https://relay.example/oauth/device",
    verification_uri_complete="https://relay.example/oauth/device?user_code=BCDF-GHJK",
    expires_in_s=60,
    interval_s=5,
)


@dataclass
class Machine:
    """Waits in no time at all, and remembers for how long it should have."""

    now_s: float = 1000.0
    slept_s: list[float] = field(default_factory=list)
    shown: list[DeviceAuthorizeResponse] = field(default_factory=list)
    meanwhile: Callable[[], Awaitable[None]] | None = None

    async def sleep(self, delay_s: float) -> None:
        self.slept_s.append(delay_s)
        self.now_s += delay_s
        if self.meanwhile is not None:
            await self.meanwhile()
        await asyncio.sleep(0)

    async def sign_in(self, relay_url: str) -> StoredTokens:
        async with asyncio.timeout(20):
            return await sign_in_by_device(
                relay_url, show=self.shown.append, sleep=self.sleep, monotonic_s=lambda: self.now_s
            )

    def signing_in(self, relay_url: str) -> "asyncio.Task[StoredTokens]":
        return asyncio.create_task(self.sign_in(relay_url))


@pytest.fixture
def machine() -> Machine:
    return Machine()


@pytest.fixture
async def relay() -> AsyncIterator[ScriptedRelay]:
    async with scripted_relay() as relay:
        yield relay


async def give_code(relay: ScriptedRelay) -> RelayPeer:
    peer = await relay.next_peer()
    await peer.answer(await peer.expect("device_authorize"), "device_authorize_response", CODE)
    return peer


async def answer_poll(peer: RelayPeer, refusal: ErrorCode | None = None) -> None:
    request = await peer.expect("device_token")
    assert DeviceToken.model_validate_json(bytes(request.payload)).device_code == CODE.device_code
    if refusal is None:
        await peer.answer(request, "device_token_response", tokens_for())
    else:
        await peer.refuse(request, refusal)


async def test_the_relay_is_asked_at_the_interval_and_more_slowly_when_it_says_so(
    relay: ScriptedRelay, machine: Machine
) -> None:
    signing_in = machine.signing_in(relay.url)
    peer = await give_code(relay)
    for refusal in (
        ErrorCode.AUTHORIZATION_PENDING,
        ErrorCode.SLOW_DOWN,
        ErrorCode.AUTHORIZATION_PENDING,
        ErrorCode.RATE_LIMITED,
        None,
    ):
        await answer_poll(peer, refusal)

    assert (await signing_in).refresh_token == "refresh-1"
    assert machine.slept_s == [5, 5, 10, 10, 15]
    assert machine.shown == [CODE]


@pytest.mark.parametrize(
    ("refusal", "says"),
    [
        (ErrorCode.ACCESS_DENIED, "The sign-in was refused on the other device."),
        (ErrorCode.EXPIRED_TOKEN, "The code was not confirmed in time."),
        (ErrorCode.UNSUPPORTED, "The relay did not accept the sign-in."),
    ],
)
async def test_a_no_ends_the_asking_with_a_sentence(
    relay: ScriptedRelay, machine: Machine, refusal: ErrorCode, says: str
) -> None:
    signing_in = machine.signing_in(relay.url)
    await answer_poll(await give_code(relay), refusal)

    with pytest.raises(LoginFailed) as failed:
        await signing_in
    assert str(failed.value) == f"{says} Run pocketcoder login again."


async def test_a_code_that_nobody_confirms_is_asked_about_no_longer_than_it_lives(
    relay: ScriptedRelay, machine: Machine
) -> None:
    signing_in = machine.signing_in(relay.url)
    peer = await give_code(relay)
    for _ in range(11):
        await answer_poll(peer, ErrorCode.AUTHORIZATION_PENDING)

    with pytest.raises(LoginFailed, match="not confirmed in time"):
        await signing_in
    assert sum(machine.slept_s) == 60


async def test_a_connection_that_is_lost_meanwhile_is_made_anew_and_asked_on_at_once(
    relay: ScriptedRelay, machine: Machine
) -> None:
    signing_in = machine.signing_in(relay.url)
    peer = await give_code(relay)
    await answer_poll(peer, ErrorCode.SLOW_DOWN)
    await peer.expect("device_token")
    peer.break_off()
    again = await relay.next_peer()
    # This one lives 10 s, which is how long the next wait is.
    await answer_poll(again, ErrorCode.AUTHORIZATION_PENDING)
    await answer_poll(again)

    assert (await signing_in).access_token == "access-1"
    assert machine.slept_s == [5, 10, 10, 10]
    assert machine.shown == [CODE]


async def test_a_relay_that_stays_away_is_tried_for_as_long_as_the_code_lives(machine: Machine) -> None:
    async with scripted_relay() as relay:
        signing_in = machine.signing_in(relay.url)
        await (await give_code(relay)).expect("device_token")
    with pytest.raises(LoginFailed, match="Is the relay running"):
        await signing_in
    assert 60 <= sum(machine.slept_s) <= 70


async def test_a_relay_that_is_not_there_is_told_at_once(machine: Machine) -> None:
    with pytest.raises(LoginFailed, match="Is the relay running"):
        await machine.sign_in(f"ws://127.0.0.1:{free_port()}")
    assert machine.slept_s == []


async def test_too_many_sign_ins_from_here_is_told(relay: ScriptedRelay, machine: Machine) -> None:
    signing_in = machine.signing_in(relay.url)
    peer = await relay.next_peer()
    await peer.refuse(await peer.expect("device_authorize"), ErrorCode.RATE_LIMITED)

    with pytest.raises(LoginFailed, match="Wait a minute"):
        await signing_in


async def decide(machine: Machine, decision: str) -> None:
    """What a person does on the relay's own page."""
    (code,) = machine.shown
    form = {"user_code": code.user_code, "login": "ada", "decision": decision}
    async with httpx.AsyncClient(trust_env=False) as browser:
        page = await browser.get(code.verification_uri_complete)
        assert code.user_code in page.text
        assert (await browser.post(code.verification_uri, data=form)).status_code == 200
    machine.meanwhile = None


async def test_who_is_let_in_on_the_relays_page_is_signed_in(tmp_path: Path, machine: Machine) -> None:
    machine.meanwhile = lambda: decide(machine, "approve")
    async with running_relay(tmp_path / "relay") as url:
        relay_url = url.replace("http", "ws")
        tokens = await machine.sign_in(relay_url)
    assert (tokens.login, tokens.relay_url) == ("ada", relay_url)


async def test_who_is_refused_on_the_relays_page_is_not(tmp_path: Path, machine: Machine) -> None:
    machine.meanwhile = lambda: decide(machine, "deny")
    async with running_relay(tmp_path / "relay") as url:
        with pytest.raises(LoginFailed, match="refused on the other device"):
            await machine.sign_in(url.replace("http", "ws"))


@pytest.mark.parametrize(
    ("environ", "platform", "expected"),
    [
        ({"DISPLAY": ":0"}, "linux", True),
        ({"WAYLAND_DISPLAY": "wayland-0"}, "linux", True),
        ({}, "linux", False),
        ({"DISPLAY": ""}, "linux", False),
        ({"DISPLAY": "localhost:10.0", "SSH_CONNECTION": "192.0.2.1 1 192.0.2.2 22"}, "linux", False),
        ({}, "darwin", True),
        ({"SSH_TTY": "/dev/ttys001"}, "darwin", False),
    ],
)
def test_a_browser_is_looked_for_where_the_user_sees_it(environ: dict[str, str], platform: str, expected: bool) -> None:
    assert has_browser(environ, platform) is expected


async def test_what_a_relay_wants_shown_moves_no_cursor_and_fits_in_a_code_to_scan(
    relay: ScriptedRelay, machine: Machine
) -> None:
    signing_in = machine.signing_in(relay.url)
    peer = await relay.next_peer()
    evil = "\x1b[2J\r" + "x" * 5000
    answer = msgspec.structs.replace(CODE, user_code=evil, verification_uri=evil, verification_uri_complete=evil)
    await peer.answer(await peer.expect("device_authorize"), "device_authorize_response", answer)
    request = await peer.expect("device_token")
    tokens = tokens_for()
    user = msgspec.structs.replace(tokens.user, login=evil)
    await peer.answer(request, "device_token_response", msgspec.structs.replace(tokens, user=user))

    signed_in, (shown,) = await signing_in, machine.shown
    for text in (signed_in.login, shown.user_code, shown.verification_uri, shown.verification_uri_complete):
        assert text.startswith("[2Jxxx")
        assert len(text) <= 500
        assert text.isprintable()
