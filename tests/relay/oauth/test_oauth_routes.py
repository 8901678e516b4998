"""The pages over HTTP, with a real server and a real browser's headers where they matter."""

import asyncio
from collections.abc import AsyncIterator
from urllib.parse import urlencode, urlsplit

import pytest
from aiohttp import ClientResponse

from host.protocol.errors import AccessDenied, AuthorizationPending
from host.protocol.messages.auth import AuthExchange, DeviceAuthorizeResponse, DeviceToken
from relay_stub.oauth.codes import AuthorizationCodes
from relay_stub.oauth.device import DeviceFlow
from relay_stub.oauth.forms import MAX_PARAMETERS
from relay_stub.oauth.identity.dev import DevIdentity
from relay_stub.oauth.tokens import TokenService
from relay_stub.rate_limits import DEFAULT_RATES, RateLimits
from relay_stub.store.database import Database
from tests.relay.oauth.browsers import (
    PARAMETERS,
    REDIRECT_URI,
    VERIFIER,
    Client,
    answer_of,
    assert_safe_page,
    authorize,
    browsing,
    page_of,
    policy_of,
    post,
)
from tests.relay.oauth.conftest import FakeClock, authorize_device


@pytest.fixture
async def browser(
    database: Database, codes: AuthorizationCodes, devices: DeviceFlow, clock: FakeClock
) -> AsyncIterator[Client]:
    async with browsing(DevIdentity(), database, codes, devices, clock) as client:
        yield client


# Authorizing


async def test_a_hinted_name_is_signed_in_at_once(browser: Client, tokens: TokenService) -> None:
    response = await authorize(browser, login_hint="alice")
    assert response.status == 302
    assert response.headers["Cache-Control"] == "no-store"
    assert response.headers["Referrer-Policy"] == "no-referrer"
    answer = answer_of(response)
    assert answer["state"] == PARAMETERS["state"]
    issued = tokens.exchange(AuthExchange(code=answer["code"], code_verifier=VERIFIER, redirect_uri=REDIRECT_URI))
    claims = tokens.verify(issued.access_token, audience="pocketcoder-host")
    assert claims.login == "alice"


async def test_without_a_hint_a_page_asks_and_its_form_signs_in(browser: Client) -> None:
    page = await authorize(browser)
    assert page.status == 200
    form = await page_of(page)
    assert form.fields == {**PARAMETERS, "login": ""}
    response = await post(browser, "/oauth/authorize", {**form.fields, "login": "bob"})
    assert response.status == 303
    assert answer_of(response).keys() == {"code", "state"}


@pytest.mark.parametrize("name", ["", "not a name", "x" * 40])
async def test_a_name_that_is_none_is_asked_again(browser: Client, name: str) -> None:
    hinted = await authorize(browser, login_hint=name)
    entered = await post(browser, "/oauth/authorize", {**PARAMETERS, "login": name})
    for response in (hinted, entered):
        assert response.status == 200
        assert "A name has 1 to 39 letters" in await response.text()


async def test_a_foreign_redirect_uri_is_never_followed(browser: Client) -> None:
    foreign = "https://evil.example/callback"
    shown = await authorize(browser, redirect_uri=foreign, login_hint="alice")
    posted = await post(browser, "/oauth/authorize", {**PARAMETERS, "redirect_uri": foreign, "login": "alice"})
    for response in (shown, posted):
        assert response.status == 400
        assert "Location" not in response.headers
        assert "evil.example" not in await response.text()


async def test_the_relays_own_origin_is_accepted(browser: Client) -> None:
    uri = str(browser.make_url("/app/callback"))
    response = await authorize(browser, redirect_uri=uri, client_id="pocketcoder-web", login_hint="alice")
    assert response.status == 302
    assert response.headers["Location"].startswith(f"{uri}?code=")


async def test_a_plain_challenge_is_sent_back_as_an_error(browser: Client) -> None:
    response = await authorize(browser, code_challenge_method="plain", login_hint="alice")
    assert response.status == 302
    answer = answer_of(response)
    assert (answer["error"], answer["state"]) == ("invalid_request", PARAMETERS["state"])
    assert "code" not in answer


async def test_a_parameter_given_twice_is_refused(browser: Client) -> None:
    query = urlencode([*PARAMETERS.items(), ("redirect_uri", "http://127.0.0.1:1/"), ("login_hint", "alice")])
    response = await browser.get(f"/oauth/authorize?{query}", allow_redirects=False)
    assert response.status == 400


async def test_too_many_parameters_are_refused(browser: Client) -> None:
    response = await authorize(browser, **{f"p{number}": "x" for number in range(MAX_PARAMETERS)})
    assert response.status == 400


@pytest.mark.parametrize("body", [b"\xff\xfe=\x00", b"%", b"--x\r\n", b"\x00" * 1000])
async def test_a_body_that_is_no_form_is_refused(browser: Client, body: bytes) -> None:
    for path in ("/oauth/authorize", "/oauth/device"):
        for content_type in ("application/x-www-form-urlencoded; charset=nonsense", "multipart/form-data"):
            response = await browser.post(path, data=body, headers={"Content-Type": content_type})
            assert response.status == 400


# Devices


@pytest.fixture
def waiting(devices: DeviceFlow) -> DeviceAuthorizeResponse:
    return authorize_device(devices)


def decision(waiting: DeviceAuthorizeResponse, verdict: str, login: str = "alice") -> dict[str, str]:
    return {"user_code": waiting.user_code, "login": login, "decision": verdict}


async def test_a_machine_is_approved_on_the_page_its_link_opens(
    browser: Client, devices: DeviceFlow, waiting: DeviceAuthorizeResponse, clock: FakeClock
) -> None:
    link = urlsplit(waiting.verification_uri_complete)
    page = await browser.get(f"{link.path}?{link.query}")
    form = await page_of(page)
    assert form.fields == {"user_code": waiting.user_code, "login": ""}
    with pytest.raises(AuthorizationPending):
        devices.poll(DeviceToken(device_code=waiting.device_code))
    response = await post(browser, "/oauth/device", {**form.fields, "login": "alice", "decision": "approve"})
    assert response.status == 200
    assert "signed in as alice" in await response.text()
    clock.advance(5)
    assert devices.poll(DeviceToken(device_code=waiting.device_code)).user.login == "alice"


async def test_a_machine_is_refused_without_a_name(
    browser: Client, devices: DeviceFlow, waiting: DeviceAuthorizeResponse
) -> None:
    response = await post(browser, "/oauth/device", decision(waiting, "deny", login=""))
    assert response.status == 200
    with pytest.raises(AccessDenied):
        devices.poll(DeviceToken(device_code=waiting.device_code))


async def test_opening_the_link_decides_nothing(
    browser: Client, devices: DeviceFlow, waiting: DeviceAuthorizeResponse
) -> None:
    await browser.get("/oauth/device", params=decision(waiting, "approve"))
    with pytest.raises(AuthorizationPending):
        devices.poll(DeviceToken(device_code=waiting.device_code))


async def test_a_form_without_a_decision_decides_nothing(
    browser: Client, devices: DeviceFlow, waiting: DeviceAuthorizeResponse
) -> None:
    response = await post(browser, "/oauth/device", decision(waiting, "maybe"))
    assert response.status == 400
    with pytest.raises(AuthorizationPending):
        devices.poll(DeviceToken(device_code=waiting.device_code))


async def test_a_name_that_is_none_keeps_the_code_in_the_form(
    browser: Client, waiting: DeviceAuthorizeResponse
) -> None:
    page = await page_of(await post(browser, "/oauth/device", decision(waiting, "approve", login="no name")))
    assert "A name has 1 to 39 letters" in page.text
    assert page.fields["user_code"] == waiting.user_code


async def test_a_person_sees_the_code_what_asks_and_from_where_before_deciding(
    browser: Client, waiting: DeviceAuthorizeResponse, clock: FakeClock
) -> None:
    clock.advance(190)
    page = await page_of(await browser.get("/oauth/device", params={"user_code": waiting.user_code.lower()}))
    for shown in (waiting.user_code, "PocketCoder on a computer", "192.0.2.7", "3 min ago", "refuse"):
        assert shown in page.text


async def test_without_a_code_the_page_asks_for_one_and_leads_to_the_question(
    browser: Client, waiting: DeviceAuthorizeResponse
) -> None:
    asked = await page_of(await browser.get("/oauth/device"))
    assert asked.forms == [{"method": "get", "action": "device"}]
    assert asked.fields == {"user_code": ""}
    page = await page_of(await browser.get("/oauth/device", params={"user_code": waiting.user_code}))
    assert page.forms == [{"method": "post", "action": "device"}]


async def test_a_wrong_code_is_told_and_kept_to_be_mended(browser: Client, waiting: DeviceAuthorizeResponse) -> None:
    wrong = decision(waiting, "approve") | {"user_code": "AAAA-AAAA"}
    for response in (
        await browser.get("/oauth/device", params=wrong),
        await post(browser, "/oauth/device", wrong),
        await post(browser, "/oauth/device", wrong | {"decision": "deny"}),
    ):
        assert response.status == 400
        page = await page_of(response)
        assert "This code is not known" in page.text
        assert page.fields == {"user_code": "AAAA-AAAA"}


async def test_guessing_codes_is_stopped(
    database: Database,
    codes: AuthorizationCodes,
    devices: DeviceFlow,
    clock: FakeClock,
    waiting: DeviceAuthorizeResponse,
) -> None:
    limits = RateLimits(DEFAULT_RATES, clock=clock)
    async with browsing(DevIdentity(), database, codes, devices, clock, limits=limits) as browser:
        for _ in range(DEFAULT_RATES["user_code"].burst):
            assert (await browser.get("/oauth/device", params={"user_code": "AAAA-AAAA"})).status == 400
        stopped = await post(browser, "/oauth/device", decision(waiting, "approve"))
        assert stopped.status == 429
        assert int(stopped.headers["Retry-After"]) > 0
        clock.advance(60)
        assert (await post(browser, "/oauth/device", decision(waiting, "approve"))).status == 200


async def test_a_machine_waits_no_longer_than_its_code_lives(
    browser: Client, waiting: DeviceAuthorizeResponse, clock: FakeClock
) -> None:
    clock.advance(waiting.expires_in_s)
    assert (await post(browser, "/oauth/device", decision(waiting, "approve"))).status == 400


# What other websites can do


@pytest.mark.parametrize(
    "headers",
    [
        {"Sec-Fetch-Site": "cross-site", "Origin": "https://evil.example"},
        {"Sec-Fetch-Site": "same-site"},
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
    ],
)
async def test_another_websites_form_is_refused(
    browser: Client, devices: DeviceFlow, waiting: DeviceAuthorizeResponse, headers: dict[str, str]
) -> None:
    approved = await post(browser, "/oauth/device", decision(waiting, "approve"), headers)
    signed_in = await post(browser, "/oauth/authorize", {**PARAMETERS, "login": "alice"}, headers)
    assert (approved.status, signed_in.status) == (403, 403)
    with pytest.raises(AuthorizationPending):
        devices.poll(DeviceToken(device_code=waiting.device_code))


async def test_the_relays_own_form_is_accepted_as_browsers_send_it(browser: Client) -> None:
    form = {**PARAMETERS, "login": "alice"}
    own = str(browser.make_url("")).rstrip("/")
    for headers in ({"Sec-Fetch-Site": "same-origin", "Origin": "null"}, {"Origin": own}):
        assert (await post(browser, "/oauth/authorize", form, headers)).status == 303


async def test_a_browser_that_came_by_another_name_is_refused(browser: Client) -> None:
    """A website can point its own name at 127.0.0.1, and would then share the relay's origin."""
    headers = {"Host": "rebound.example:8787"}
    for path in ("/oauth/authorize", "/oauth/device"):
        response = await browser.get(path, params={**PARAMETERS, "login_hint": "alice"}, headers=headers)
        assert response.status == 403


async def test_a_cancelled_sign_in_is_told_to_the_client(browser: Client) -> None:
    response = await post(browser, "/oauth/authorize", {**PARAMETERS, "login": "alice", "decision": "deny"})
    assert response.status == 303
    answer = answer_of(response)
    assert (answer["error"], answer["state"]) == ("access_denied", PARAMETERS["state"])
    assert "code" not in answer


# The pages themselves


async def pages_of(browser: Client, waiting: DeviceAuthorizeResponse) -> list[ClientResponse]:
    return [
        await authorize(browser),
        await authorize(browser, client_id="unknown"),
        await browser.get("/oauth/device"),
        await browser.get("/oauth/device", params={"user_code": '"><script>alert(1)</script>'}),
        await browser.get("/oauth/device", params={"user_code": waiting.user_code}),
        await post(browser, "/oauth/device", {"user_code": "<b>", "login": "alice", "decision": "approve"}),
        await post(browser, "/oauth/device", {}),
        await post(browser, "/oauth/device", decision(waiting, "approve")),
    ]


async def test_every_page_is_safe_and_fits_a_phone(browser: Client, waiting: DeviceAuthorizeResponse) -> None:
    for response in await pages_of(browser, waiting):
        await assert_safe_page(response)


async def test_a_person_sees_what_signs_in_and_where_the_browser_goes_then(browser: Client) -> None:
    host = await page_of(await authorize(browser))
    assert "PocketCoder on a computer" in host.text
    assert "http://127.0.0.1:4000" in host.text
    own = str(browser.make_url("/app"))
    app = await page_of(await authorize(browser, client_id="pocketcoder-web", redirect_uri=own))
    assert "The PocketCoder app in a browser" in app.text
    assert own.removesuffix("/app") in app.text


async def test_what_came_from_outside_is_escaped(browser: Client) -> None:
    hostile = "\"'><b>&"
    page = await page_of(await authorize(browser, state=hostile, redirect_uri="http://127.0.0.1:4000/'\"><b>"))
    assert page.fields["state"] == hostile
    assert page.fields["redirect_uri"] == "http://127.0.0.1:4000/'\"><b>"
    assert "b" not in page.tags
    device = await page_of(await browser.get("/oauth/device", params={"user_code": hostile}))
    assert device.fields["user_code"] == hostile
    assert "b" not in device.tags


@pytest.mark.parametrize(
    ("redirect_uri", "form_action"),
    [
        ("http://127.0.0.1:4000/callback", "'self' http://127.0.0.1:4000"),
        ("http://[::1]:4000/callback", "'self' http:"),
    ],
)
async def test_the_sign_in_form_may_end_at_the_redirect_uri(
    browser: Client, redirect_uri: str, form_action: str
) -> None:
    assert policy_of(await authorize(browser, redirect_uri=redirect_uri))["form-action"] == form_action


async def test_the_device_form_may_go_nowhere_else(browser: Client) -> None:
    assert policy_of(await browser.get("/oauth/device"))["form-action"] == "'self'"


async def test_many_browsers_at_once_get_codes_of_their_own(browser: Client) -> None:
    answers = await asyncio.gather(*(authorize(browser, login_hint=f"user-{number}") for number in range(20)))
    assert len({answer_of(response)["code"] for response in answers}) == 20
