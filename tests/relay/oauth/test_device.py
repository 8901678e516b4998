import re
from collections.abc import Callable

import pytest

from host.protocol.errors import (
    AccessDenied,
    AuthorizationPending,
    ExpiredToken,
    InvalidRequest,
    RateLimited,
    SlowDown,
)
from host.protocol.messages.auth import DeviceAuthorizeResponse, DeviceToken, Tokens
from relay_stub.oauth.device import DEVICE_CODE_LIFETIME_S, MAX_WAITING_DEVICES, DeviceFlow
from relay_stub.oauth.tokens import TokenService
from tests.relay.oauth.conftest import FakeClock, authorize_device


@pytest.fixture
def waiting(devices: DeviceFlow) -> DeviceAuthorizeResponse:
    return authorize_device(devices)


def poll(devices: DeviceFlow, waiting: DeviceAuthorizeResponse) -> Tokens:
    return devices.poll(DeviceToken(device_code=waiting.device_code))


def test_a_machine_is_told_all_it_needs(waiting: DeviceAuthorizeResponse) -> None:
    assert re.fullmatch(r"[BCDFGHJKLMNPQRSTVWXZ]{4}-[BCDFGHJKLMNPQRSTVWXZ]{4}", waiting.user_code)
    assert waiting.verification_uri == "http://127.0.0.1:8787/oauth/device"
    assert waiting.verification_uri_complete == f"{waiting.verification_uri}?user_code={waiting.user_code}"
    assert (waiting.expires_in_s, waiting.interval_s) == (600, 5)


def test_an_approved_machine_gets_tokens_for_its_client_once(
    devices: DeviceFlow, waiting: DeviceAuthorizeResponse, tokens: TokenService, user_id: str, clock: FakeClock
) -> None:
    with pytest.raises(AuthorizationPending):
        poll(devices, waiting)
    devices.find(waiting.user_code).approve(user_id)
    clock.advance(5)
    issued = poll(devices, waiting)
    assert tokens.verify(issued.access_token, audience="pocketcoder-host").user_id == user_id
    clock.advance(5)
    with pytest.raises(ExpiredToken):
        poll(devices, waiting)


def test_a_refused_machine_is_told_so(devices: DeviceFlow, waiting: DeviceAuthorizeResponse) -> None:
    devices.find(waiting.user_code).deny()
    with pytest.raises(AccessDenied):
        poll(devices, waiting)


def test_the_first_decision_counts(devices: DeviceFlow, waiting: DeviceAuthorizeResponse, user_id: str) -> None:
    device = devices.find(waiting.user_code)
    device.approve(user_id)
    device.approve("usr_mallory")
    device.deny()
    assert poll(devices, waiting).user.id == user_id


def test_a_decided_code_cannot_be_entered_again(
    devices: DeviceFlow, waiting: DeviceAuthorizeResponse, user_id: str
) -> None:
    devices.find(waiting.user_code).approve(user_id)
    with pytest.raises(InvalidRequest):
        devices.find(waiting.user_code)


@pytest.mark.parametrize(
    "typed",
    [str.lower, lambda code: code.replace("-", ""), lambda code: f" {code.replace('-', ' - ')}\n"],
)
def test_a_code_may_be_typed_in_any_fashion(
    devices: DeviceFlow, waiting: DeviceAuthorizeResponse, typed: Callable[[str], str]
) -> None:
    assert devices.find(typed(waiting.user_code)).client_id == "pocketcoder-host"


def test_codes_live_ten_minutes(
    devices: DeviceFlow, waiting: DeviceAuthorizeResponse, user_id: str, clock: FakeClock
) -> None:
    clock.advance(DEVICE_CODE_LIFETIME_S - 1)
    devices.find(waiting.user_code).approve(user_id)
    other = authorize_device(devices, "pocketcoder-web")
    clock.advance(1)
    with pytest.raises(ExpiredToken):
        poll(devices, waiting)
    with pytest.raises(InvalidRequest):
        devices.find(waiting.user_code)
    assert devices.find(other.user_code).client_id == "pocketcoder-web"


def test_a_device_code_that_never_was_has_expired(devices: DeviceFlow) -> None:
    with pytest.raises(ExpiredToken):
        devices.poll(DeviceToken(device_code="x"))


def test_polling_too_fast_costs_five_seconds_each_time(
    devices: DeviceFlow, waiting: DeviceAuthorizeResponse, clock: FakeClock
) -> None:
    with pytest.raises(AuthorizationPending):
        poll(devices, waiting)
    clock.advance(4.9)
    with pytest.raises(SlowDown, match="Wait 10 s"):
        poll(devices, waiting)
    clock.advance(9.9)
    with pytest.raises(SlowDown, match="Wait 15 s"):
        poll(devices, waiting)
    clock.advance(15)
    with pytest.raises(AuthorizationPending):
        poll(devices, waiting)


def test_polling_too_fast_does_not_lose_an_approval(
    devices: DeviceFlow, waiting: DeviceAuthorizeResponse, user_id: str, clock: FakeClock
) -> None:
    with pytest.raises(AuthorizationPending):
        poll(devices, waiting)
    devices.find(waiting.user_code).approve(user_id)
    with pytest.raises(SlowDown):
        poll(devices, waiting)
    clock.advance(10)
    assert poll(devices, waiting).user.id == user_id


def test_only_so_many_machines_wait_at_a_time(devices: DeviceFlow, clock: FakeClock) -> None:
    codes = {authorize_device(devices).user_code for _ in range(MAX_WAITING_DEVICES)}
    assert len(codes) == MAX_WAITING_DEVICES
    with pytest.raises(RateLimited):
        authorize_device(devices)
    clock.advance(DEVICE_CODE_LIFETIME_S)
    assert authorize_device(devices).interval_s == 5


def test_a_user_code_that_is_taken_is_not_given_again(tokens: TokenService) -> None:
    letters = iter("BBBBBBBB" + "BBBBBBBB" + "CCCCCCCC")
    devices = DeviceFlow(tokens.issue, choose=lambda _: next(letters))
    assert [authorize_device(devices).user_code for _ in range(2)] == ["BBBB-BBBB", "CCCC-CCCC"]
