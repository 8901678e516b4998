"""The pages over HTTP, with a real server and a real browser's headers where they matter."""

import asyncio
import base64
import hashlib
import re
from collections.abc import AsyncIterator
from html.parser import HTMLParser
from urllib.parse import parse_qs, urlencode, urlsplit

import pytest
from aiohttp import ClientResponse, web
from aiohttp.test_utils import TestClient, TestServer

from host.protocol.errors import AccessDenied, AuthorizationPending
from host.protocol.messages.auth import AuthExchange, DeviceAuthorize, DeviceAuthorizeResponse, DeviceToken
from relay_stub.oauth.codes import AuthorizationCodes
from relay_stub.oauth.device import MAX_WRONG_USER_CODES, DeviceFlow
from relay_stub.oauth.identity.dev import DevIdentity
from relay_stub.oauth.routes import MAX_PARAMETERS, add_oauth_routes
from relay_stub.oauth.tokens import TokenService
from relay_stub.store.accounts import Accounts
from tests.relay.oauth.conftest import FakeClock

Client = TestClient[web.Request, web.Application]

VERIFIER = "v" * 43
CHALLENGE = base64.urlsafe_b64encode(hashlib.sha256(VERIFIER.encode()).digest()).rstrip(b"=").decode()
REDIRECT_URI = "http://127.0.0.1:4000/callback"
PARAMETERS = {
    "response_type": "code",
    "client_id": "pocketcoder-host",
    "redirect_uri": REDIRECT_URI,
    "state": 'a"b<c>&d',
    "code_challenge": CHALLENGE,
    "code_challenge_method": "S256",
}


@pytest.fixture
async def browser(codes: AuthorizationCodes, devices: DeviceFlow, accounts: Accounts) -> AsyncIterator[Client]:
    app = web.Application()
    add_oauth_routes(
        app,
        provider=DevIdentity("127.0.0.1"),
        codes=codes,
        devices=devices,
        accounts=accounts,
        own_origin=lambda request: f"http://{request.host}",
    )
    async with TestClient(TestServer(app)) as client:
        yield client


class FormParser(HTMLParser):
    """Collects what a browser would send back, and every tag."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.fields: dict[str, str] = {}
        self.tags: set[str] = set()
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        values = dict(attrs)
        if tag == "input":
            self.fields[values["name"] or ""] = values.get("value") or ""


async def authorize(browser: Client, **changes: str) -> ClientResponse:
    return await browser.get("/oauth/authorize", params={**PARAMETERS, **changes}, allow_redirects=False)


async def post(
    browser: Client, path: str, form: dict[str, str], headers: dict[str, str] | None = None
) -> ClientResponse:
    return await browser.post(path, data=form, headers=headers, allow_redirects=False)


def answer_of(response: ClientResponse) -> dict[str, str]:
    location = urlsplit(response.headers["Location"])
    assert f"{location.scheme}://{location.netloc}{location.path}" == REDIRECT_URI
    return {name: value for name, (value,) in parse_qs(location.query).items()}


def policy_of(response: ClientResponse) -> dict[str, str]:
    directives = response.headers["Content-Security-Policy"].split("; ")
    return {name: value for name, _, value in (directive.partition(" ") for directive in directives)}


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
    form = FormParser(await page.text())
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
    return devices.authorize(DeviceAuthorize(client_id="pocketcoder-host"))


def decision(waiting: DeviceAuthorizeResponse, verdict: str, login: str = "alice") -> dict[str, str]:
    return {"user_code": waiting.user_code, "login": login, "decision": verdict}


async def test_a_machine_is_approved_on_the_page_its_link_opens(
    browser: Client, devices: DeviceFlow, waiting: DeviceAuthorizeResponse, clock: FakeClock
) -> None:
    link = urlsplit(waiting.verification_uri_complete)
    page = await browser.get(f"{link.path}?{link.query}")
    form = FormParser(await page.text())
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
    response = await post(browser, "/oauth/device", decision(waiting, "approve", login="no name"))
    text = await response.text()
    assert "A name has 1 to 39 letters" in text
    assert FormParser(text).fields["user_code"] == waiting.user_code


async def test_wrong_codes_are_told_and_then_stopped(browser: Client, waiting: DeviceAuthorizeResponse) -> None:
    wrong = {"user_code": "AAAA-AAAA", "login": "alice", "decision": "approve"}
    for _ in range(MAX_WRONG_USER_CODES):
        response = await post(browser, "/oauth/device", wrong)
        assert response.status == 400
        assert "This code is not known" in await response.text()
    assert (await post(browser, "/oauth/device", decision(waiting, "approve"))).status == 429


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


# The pages themselves


async def pages_of(browser: Client) -> list[ClientResponse]:
    return [
        await authorize(browser),
        await authorize(browser, client_id="unknown"),
        await browser.get("/oauth/device", params={"user_code": '"><script>alert(1)</script>'}),
        await post(browser, "/oauth/device", {"user_code": "<b>", "login": "alice", "decision": "approve"}),
        await post(browser, "/oauth/device", {}),
    ]


async def test_every_page_forbids_all_but_its_own_style(browser: Client) -> None:
    for response in await pages_of(browser):
        text = await response.text()
        style = re.search(r"<style>(.*?)</style>", text)
        assert style
        digest = base64.b64encode(hashlib.sha256(style[1].encode()).digest()).decode()
        policy = policy_of(response)
        assert policy["default-src"] == "'none'"
        assert policy["style-src"] == f"'sha256-{digest}'"
        assert policy["frame-ancestors"] == policy["base-uri"] == "'none'"
        assert response.headers["Referrer-Policy"] == "no-referrer"
        assert response.headers["Cache-Control"] == "no-store"
        assert response.headers["X-Content-Type-Options"] == "nosniff"
        assert response.content_type == "text/html"


async def test_no_page_has_a_script_or_loads_anything_and_all_fit_a_phone(browser: Client) -> None:
    for response in await pages_of(browser):
        text = await response.text()
        assert not FormParser(text).tags & {"script", "link", "img", "iframe", "b"}
        assert "style=" not in text
        assert "width=device-width" in text


async def test_what_came_from_outside_is_escaped(browser: Client) -> None:
    hostile = "\"'><b>&"
    page = await authorize(browser, state=hostile, redirect_uri="http://127.0.0.1:4000/'\"><b>")
    form = FormParser(await page.text())
    assert form.fields["state"] == hostile
    assert form.fields["redirect_uri"] == "http://127.0.0.1:4000/'\"><b>"
    assert "b" not in form.tags
    device = FormParser(await (await browser.get("/oauth/device", params={"user_code": hostile})).text())
    assert device.fields["user_code"] == hostile


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
