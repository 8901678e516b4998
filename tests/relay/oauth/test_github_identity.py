"""Signing in with GitHub, from the relay's page to GitHub and back."""

import logging
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest
import respx
from aiohttp import ClientResponse

from host.protocol.errors import AccessDenied, AuthorizationPending
from host.protocol.messages.auth import AuthExchange, DeviceToken
from relay_stub.oauth.codes import AuthorizationCodes
from relay_stub.oauth.device import DeviceFlow
from relay_stub.oauth.handovers import HANDOVER_LIFETIME_S
from relay_stub.oauth.identity.github import GitHubIdentity
from relay_stub.oauth.identity.github_api import GitHubApi, GitHubUnavailable
from relay_stub.oauth.identity.github_settings import GitHubApp, GitHubSettings
from relay_stub.oauth.identity.port import ProviderUnusable, SignInRefused
from relay_stub.oauth.tokens import TokenService
from relay_stub.oauth.visits import Visits
from relay_stub.store.audit import AuditLog
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
from tests.relay.oauth.scripted_github import Account, ScriptedGitHub

OCTOCAT = Account(1, "octocat", "The Octocat")
STRANGER = Account(2, "stranger", organizations={"soon": "pending"})
MEMBER = Account(3, "member", organizations={"acme": "active"})
APP = GitHubApp("Iv1.app", "github-secret-0123456789", url="http://github.test", api_url="http://api.github.test")

At = Callable[..., AbstractAsyncContextManager[Client]]


@pytest.fixture(autouse=True)
def _no_proxies(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)


@pytest.fixture
async def github() -> AsyncIterator[ScriptedGitHub]:
    async with ScriptedGitHub(at_browser=OCTOCAT).running() as github:
        yield github


@pytest.fixture
def at_relay(
    github: ScriptedGitHub, database: Database, codes: AuthorizationCodes, devices: DeviceFlow, clock: FakeClock
) -> At:
    """A browser at a relay whose callback is what GitHub has registered."""

    @asynccontextmanager
    async def at(
        logins: tuple[str, ...] = ("OctoCat",),
        organizations: tuple[str, ...] = (),
        secret: str = github.client_secret,
        visits: Visits | None = None,
    ) -> AsyncIterator[Client]:
        app = GitHubApp(github.client_id, secret, url=github.url, api_url=github.url)
        provider = GitHubIdentity(GitHubSettings(app, logins, organizations))
        async with browsing(provider, database, codes, devices, clock, visits=visits) as browser:
            github.callback_uri = str(browser.make_url("/oauth/callback"))
            yield browser

    return at


@pytest.fixture
async def browser(at_relay: At) -> AsyncIterator[Client]:
    async with at_relay() as browser:
        yield browser


async def go_on(browser: Client, **changes: str) -> str:
    """Send the page's form; return where the browser is sent, which is GitHub."""
    response = await post(browser, "/oauth/authorize", {**PARAMETERS, "decision": "approve", **changes})
    assert response.status == 303
    return response.headers["Location"]


async def way_back(github_uri: str) -> str:
    """What GitHub answers to the browser: an address at the relay."""
    async with httpx.AsyncClient(trust_env=False) as http:
        response = await http.get(github_uri)
    assert response.status_code == 302
    return str(response.headers["Location"])


async def come_back(browser: Client, uri: str, **changes: str) -> ClientResponse:
    parts = urlsplit(uri)
    query = {name: value for name, (value,) in parse_qs(parts.query).items()} | changes
    return await browser.get(parts.path, params=query, allow_redirects=False)


async def sign_in(browser: Client) -> ClientResponse:
    return await come_back(browser, await way_back(await go_on(browser)))


# Coming in


async def test_the_page_says_what_signs_in_and_leads_to_github_and_no_further(
    browser: Client, github: ScriptedGitHub
) -> None:
    response = await authorize(browser, login_hint="octocat")
    await assert_safe_page(response)
    assert policy_of(response)["form-action"] == f"'self' http://127.0.0.1:4000 {github.url}"
    page = await page_of(response)
    assert page.fields == PARAMETERS
    assert "Sign in with GitHub" in page.text
    assert "PocketCoder on a computer" in page.text


async def test_github_is_asked_with_a_state_a_challenge_and_no_more_than_is_needed(
    browser: Client, at_relay: At
) -> None:
    first, second = await go_on(browser), await go_on(browser)
    query = {name: value for name, (value,) in parse_qs(urlsplit(first).query, keep_blank_values=True).items()}
    assert query.pop("state") != parse_qs(urlsplit(second).query)["state"][0]
    assert len(query.pop("code_challenge")) == 43
    assert query == {
        "client_id": "Iv1.app",
        "redirect_uri": str(browser.make_url("/oauth/callback")),
        "scope": "",
        "allow_signup": "false",
        "code_challenge_method": "S256",
    }
    async with at_relay(logins=(), organizations=("acme",)) as other:
        assert parse_qs(urlsplit(await go_on(other)).query)["scope"] == ["read:org"]


async def test_an_allowed_login_comes_in(browser: Client, tokens: TokenService) -> None:
    answer = answer_of(await sign_in(browser))
    assert answer["state"] == PARAMETERS["state"]
    issued = tokens.exchange(AuthExchange(code=answer["code"], code_verifier=VERIFIER, redirect_uri=REDIRECT_URI))
    assert (issued.user.login, issued.user.name) == ("octocat", "The Octocat")


async def test_a_renamed_account_stays_the_same_user(
    browser: Client, github: ScriptedGitHub, tokens: TokenService, at_relay: At
) -> None:
    ids = set()
    async with at_relay(logins=("octocat", "monalisa")) as other:
        for account in (OCTOCAT, Account(1, "monalisa")):
            github.at_browser = account
            code = answer_of(await sign_in(other))["code"]
            exchange = AuthExchange(code=code, code_verifier=VERIFIER, redirect_uri=REDIRECT_URI)
            ids.add(tokens.exchange(exchange).user.id)
    assert len(ids) == 1


async def test_an_active_member_of_an_organization_comes_in(github: ScriptedGitHub, at_relay: At) -> None:
    async with at_relay(logins=(), organizations=("other", "acme")) as browser:
        github.at_browser = MEMBER
        assert "code" in answer_of(await sign_in(browser))


async def test_a_machine_is_let_in_by_way_of_github(browser: Client, devices: DeviceFlow, clock: FakeClock) -> None:
    waiting = authorize_device(devices)
    page = await browser.get("/oauth/device", params={"user_code": waiting.user_code})
    assert "Sign it in with GitHub" in (await page_of(page)).text
    form = {"user_code": waiting.user_code, "decision": "approve"}
    sent = await post(browser, "/oauth/device", form)
    done = await come_back(browser, await way_back(sent.headers["Location"]))
    assert done.status == 200
    await assert_safe_page(done)
    assert "signed in as octocat" in (await page_of(done)).text
    assert devices.poll(DeviceToken(device_code=waiting.device_code)).user.login == "octocat"


async def test_a_machine_is_refused_without_github(
    browser: Client, devices: DeviceFlow, github: ScriptedGitHub
) -> None:
    waiting = authorize_device(devices)
    await post(browser, "/oauth/device", {"user_code": waiting.user_code, "decision": "deny"})
    with pytest.raises(AccessDenied):
        devices.poll(DeviceToken(device_code=waiting.device_code))
    assert github.asked == []


# Being refused


@pytest.mark.parametrize("organizations", [(), ("acme", "soon")])
async def test_anybody_else_is_refused_and_the_client_told(
    github: ScriptedGitHub, at_relay: At, organizations: tuple[str, ...], database: Database
) -> None:
    github.at_browser = STRANGER
    async with at_relay(organizations=organizations) as browser:
        answer = answer_of(await sign_in(browser))
    assert (answer["error"], answer["state"]) == ("access_denied", PARAMETERS["state"])
    assert "may not sign in here" in answer["error_description"]
    (entry,) = AuditLog(database).last(10)
    assert (entry.event, entry.who, entry.address) == ("sign-in refused", "stranger", "127.0.0.1")


async def test_a_stranger_lets_no_machine_in(browser: Client, github: ScriptedGitHub, devices: DeviceFlow) -> None:
    github.at_browser = STRANGER
    waiting = authorize_device(devices)
    sent = await post(browser, "/oauth/device", {"user_code": waiting.user_code, "decision": "approve"})
    refused = await come_back(browser, await way_back(sent.headers["Location"]))
    assert refused.status == 403
    await assert_safe_page(refused)
    with pytest.raises(AuthorizationPending):
        devices.poll(DeviceToken(device_code=waiting.device_code))


async def test_who_says_no_at_github_is_not_asked_who_they_are(browser: Client, github: ScriptedGitHub) -> None:
    github.at_browser = None
    answer = answer_of(await sign_in(browser))
    assert answer["error"] == "access_denied"
    assert "denied your application" not in answer["error_description"]
    assert github.asked == []


@pytest.mark.parametrize("state", ["", "wrong", "é\x00"])
async def test_a_wrong_or_missing_state_leads_nowhere(browser: Client, github: ScriptedGitHub, state: str) -> None:
    back = await way_back(await go_on(browser))
    response = await come_back(browser, back, state=state)
    assert response.status == 400
    await assert_safe_page(response)
    assert github.asked == []
    without = await browser.get("/oauth/callback", params={"code": "x"}, allow_redirects=False)
    assert without.status == 400
    # Nothing was used up.
    assert "code" in answer_of(await come_back(browser, back))


async def test_a_state_is_good_once(browser: Client, github: ScriptedGitHub) -> None:
    back = await way_back(await go_on(browser))
    assert "code" in answer_of(await come_back(browser, back))
    assert (await come_back(browser, back)).status == 400
    assert github.asked == ["token", "user"]


async def test_a_state_is_good_for_ten_minutes(browser: Client, clock: FakeClock) -> None:
    back = await way_back(await go_on(browser))
    clock.advance(HANDOVER_LIFETIME_S)
    assert (await come_back(browser, back)).status == 400


async def test_another_browser_cannot_be_made_to_finish_what_this_one_began(
    browser: Client, devices: DeviceFlow, github: ScriptedGitHub
) -> None:
    """Else a link to GitHub, which asks nothing of who agreed before, would let a thief's machine in."""
    waiting = authorize_device(devices)
    sent = await post(browser, "/oauth/device", {"user_code": waiting.user_code, "decision": "approve"})
    back = await way_back(sent.headers["Location"])
    browser.session.cookie_jar.clear()
    assert (await come_back(browser, back)).status == 400
    with pytest.raises(AuthorizationPending):
        devices.poll(DeviceToken(device_code=waiting.device_code))
    assert github.asked == []


async def test_two_tabs_of_one_browser_both_come_in(browser: Client) -> None:
    backs = [await way_back(await go_on(browser)) for _ in range(2)]
    for back in backs:
        assert "code" in answer_of(await come_back(browser, back))


async def test_a_foreign_code_fails_at_the_challenge(browser: Client, github: ScriptedGitHub) -> None:
    back, other = await way_back(await go_on(browser)), await way_back(await go_on(browser))
    stolen = parse_qs(urlsplit(other).query)["code"][0]
    answer = answer_of(await come_back(browser, back, code=stolen))
    assert answer["error"] == "access_denied"
    assert github.asked == ["token"]


async def test_an_app_that_github_does_not_know_is_logged_for_the_operator_only(
    at_relay: At, caplog: pytest.LogCaptureFixture
) -> None:
    async with at_relay(secret="another-secret-9876543210") as browser:
        answer = answer_of(await sign_in(browser))
    assert "Whoever runs the relay" in answer["error_description"]
    assert "incorrect_client_credentials" in caplog.text
    assert "another-secret" not in caplog.text


async def test_another_websites_form_does_not_lead_to_github(browser: Client) -> None:
    headers = {"Sec-Fetch-Site": "cross-site", "Origin": "https://evil.example"}
    response = await post(browser, "/oauth/authorize", {**PARAMETERS, "decision": "approve"}, headers)
    assert response.status == 403


# What is kept


@pytest.mark.parametrize(
    ("visits", "name", "is_secure"),
    [(Visits(), "pocketcoder-sign-in", False), (Visits("https://relay.example"), "__Host-pocketcoder-sign-in", True)],
)
async def test_the_browsers_cookie_is_out_of_reach_of_scripts_and_other_sites(
    at_relay: At, visits: Visits, name: str, is_secure: bool
) -> None:
    async with at_relay(visits=visits) as browser:
        response = await post(browser, "/oauth/authorize", {**PARAMETERS, "decision": "approve"})
    cookie = response.cookies[name]
    assert (cookie["httponly"], cookie["samesite"], cookie["path"]) == (True, "Lax", "/")
    assert bool(cookie["secure"]) is is_secure
    assert not cookie["domain"]


async def test_neither_githubs_secret_nor_its_tokens_are_stored_or_logged(
    browser: Client, github: ScriptedGitHub, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    assert "code" in answer_of(await sign_in(browser))
    stored = b"".join(path.read_bytes() for path in (tmp_path / "relay").iterdir())
    assert b"octocat" in stored
    for secret in (github.client_secret, *github.tokens):
        assert secret.encode() not in stored
        assert secret not in caplog.text
    assert github.client_secret not in repr(GitHubSettings(APP))


# Settings


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (GitHubSettings(APP), "Say who may"),
        (GitHubSettings(GitHubApp("", "secret"), logins=("a",)), "needs an OAuth app"),
        (GitHubSettings(GitHubApp("id", ""), logins=("a",)), "needs an OAuth app"),
        (GitHubSettings(APP, logins=("not a name",)), "not the name"),
        (GitHubSettings(APP, organizations=("../x",)), "not the name"),
        (GitHubSettings(GitHubApp("id", "secret", url="ftp://x"), logins=("a",)), "no address of GitHub"),
        (GitHubSettings(GitHubApp("id", "secret", url="http://x"), logins=("a",)), "no address of GitHub"),
        (GitHubSettings(GitHubApp("id", "secret", api_url="https://x/"), logins=("a",)), "no address of GitHub"),
    ],
)
def test_what_would_let_nobody_or_everybody_in_is_refused(settings: GitHubSettings, message: str) -> None:
    with pytest.raises(ProviderUnusable, match=message):
        GitHubIdentity(settings)


# GitHub in trouble


@pytest.mark.parametrize(
    "answer",
    [
        httpx.Response(500),
        httpx.Response(200, text="<html>"),
        httpx.Response(200, json=[]),
        httpx.Response(200, json={}),
        httpx.Response(200, json={"access_token": 7}),
        httpx.Response(200, json={"access_token": "x", "token_type": "mac"}),
        httpx.Response(302, headers={"Location": "https://evil.example"}),
        httpx.Response(200, content=b"x" * 300_000),
        httpx.Response(200, content=b"[" * 100_000),
        httpx.ConnectError("refused"),
        httpx.ReadTimeout("slow"),
    ],
)
async def test_a_token_that_does_not_come_is_githubs_trouble(answer: httpx.Response | Exception) -> None:
    with respx.mock:
        respx.post("http://github.test/login/oauth/access_token").mock(side_effect=[answer])
        with pytest.raises(GitHubUnavailable, match=r"^GitHub cannot be reached"):
            await GitHubApi(APP).token_for("code", verifier="v", callback_uri="http://127.0.0.1/")


async def test_an_unverified_account_is_told_what_to_do() -> None:
    with respx.mock:
        respx.post("http://github.test/login/oauth/access_token").respond(json={"error": "unverified_user_email"})
        with pytest.raises(SignInRefused, match="verify your e-mail address"):
            await GitHubApi(APP).token_for("code", verifier="v", callback_uri="http://127.0.0.1/")


@pytest.mark.parametrize("status", [401, 403, 404, 429, 500])
async def test_a_user_who_is_not_told_is_githubs_trouble(status: int) -> None:
    with respx.mock:
        respx.get("http://api.github.test/user").respond(status, json={"message": "No"})
        with pytest.raises(GitHubUnavailable):
            await GitHubApi(APP).user("token")


@pytest.mark.parametrize("status", [401, 500, 302])
async def test_a_membership_that_is_not_told_is_no_membership(status: int) -> None:
    with respx.mock:
        respx.get("http://api.github.test/user/memberships/orgs/acme").respond(status)
        with pytest.raises(GitHubUnavailable):
            await GitHubApi(APP).is_member("acme", "token")
