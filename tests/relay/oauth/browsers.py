"""What the tests of sign-in pages share: a browser in code, and what it reads."""

import base64
import hashlib
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from html.parser import HTMLParser
from typing import Final
from urllib.parse import parse_qs, urlsplit

from aiohttp import ClientResponse, web
from aiohttp.test_utils import TestClient, TestServer

from relay_stub.oauth.codes import AuthorizationCodes
from relay_stub.oauth.device import DeviceFlow
from relay_stub.oauth.handovers import Handovers
from relay_stub.oauth.identity.port import IdentityProvider
from relay_stub.oauth.routes import add_oauth_routes
from relay_stub.oauth.sign_in import SignIn
from relay_stub.oauth.visits import Visits
from relay_stub.rate_limits import LOCAL_RATES, RateLimits
from relay_stub.store.accounts import Accounts
from relay_stub.store.audit import AuditLog
from relay_stub.store.database import Database
from tests.relay.oauth.conftest import FakeClock

Client = TestClient[web.Request, web.Application]

VERIFIER: Final = "v" * 43
CHALLENGE: Final = base64.urlsafe_b64encode(hashlib.sha256(VERIFIER.encode()).digest()).rstrip(b"=").decode()
REDIRECT_URI: Final = "http://127.0.0.1:4000/callback"
PARAMETERS: Final = {
    "response_type": "code",
    "client_id": "pocketcoder-host",
    "redirect_uri": REDIRECT_URI,
    "state": 'a"b<c>&d',
    "code_challenge": CHALLENGE,
    "code_challenge_method": "S256",
}


@asynccontextmanager
async def browsing(
    provider: IdentityProvider,
    database: Database,
    codes: AuthorizationCodes,
    devices: DeviceFlow,
    clock: FakeClock,
    *,
    limits: RateLimits | None = None,
    visits: Visits | None = None,
) -> AsyncIterator[Client]:
    """A browser at a server of the sign-in pages, with cookies."""
    app = web.Application()
    sign_in = SignIn(
        provider,
        codes,
        devices,
        Accounts(database),
        AuditLog(database, clock=clock),
        limits or RateLimits(LOCAL_RATES),
        Handovers(clock=clock),
        clock,
    )
    add_oauth_routes(app, sign_in, visits or Visits())
    async with TestClient(TestServer(app)) as client:
        yield client


class Page(HTMLParser):
    """Collects what a browser would send back, every tag, every form and all that is read."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.fields: dict[str, str] = {}
        self.inputs: dict[str, dict[str, str | None]] = {}
        self.forms: list[dict[str, str | None]] = []
        self.tags: set[str] = set()
        self.attributes: set[str] = set()
        self.text = ""
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        values = dict(attrs)
        self.attributes |= values.keys()
        if tag == "form":
            self.forms.append(values)
        if tag == "input":
            name = values["name"] or ""
            self.fields[name] = values.get("value") or ""
            self.inputs[name] = values

    def handle_data(self, data: str) -> None:
        self.text += f"{data} "


async def page_of(response: ClientResponse) -> Page:
    return Page(await response.text())


async def authorize(browser: Client, **changes: str) -> ClientResponse:
    return await browser.get("/oauth/authorize", params={**PARAMETERS, **changes}, allow_redirects=False)


async def post(
    browser: Client, path: str, form: dict[str, str], headers: dict[str, str] | None = None
) -> ClientResponse:
    return await browser.post(path, data=form, headers=headers, allow_redirects=False)


def answer_of(response: ClientResponse) -> dict[str, str]:
    """What the client at the redirect URI is told."""
    location = urlsplit(response.headers["Location"])
    assert f"{location.scheme}://{location.netloc}{location.path}" == REDIRECT_URI
    return {name: value for name, (value,) in parse_qs(location.query).items()}


def policy_of(response: ClientResponse) -> dict[str, str]:
    directives = response.headers["Content-Security-Policy"].split("; ")
    return {name: value for name, _, value in (directive.partition(" ") for directive in directives)}


async def assert_safe_page(response: ClientResponse) -> None:
    """No script, nothing loaded, nobody frames it, nobody keeps it, no other site learns of it; it fits a phone."""
    text = await response.text()
    style = re.search(r"<style>(.*?)</style>", text)
    assert style
    digest = base64.b64encode(hashlib.sha256(style[1].encode()).digest()).decode()
    policy = policy_of(response)
    assert policy["default-src"] == "'none'"
    assert policy["style-src"] == f"'sha256-{digest}'"
    assert policy["frame-ancestors"] == policy["base-uri"] == "'none'"
    assert "form-action" in policy
    assert "script" not in response.headers["Content-Security-Policy"]
    assert response.headers["X-Frame-Options"] == "DENY"
    assert response.headers["Referrer-Policy"] in ("no-referrer", "same-origin")
    assert response.headers["Cache-Control"] == "no-store"
    assert response.headers["X-Content-Type-Options"] == "nosniff"
    assert response.content_type == "text/html"
    page = Page(text)
    assert page.tags <= {
        "html", "head", "meta", "title", "style", "body", "main", "h1", "p", "dl", "dt", "dd",
        "form", "label", "input", "button",
    }  # fmt: skip
    assert not {name for name in page.attributes if name.startswith("on") or name in ("style", "src", "href")}
    assert all(form["action"] in ("authorize", "device") for form in page.forms)
    assert "width=device-width" in text
    assert "color-scheme:light dark" in style[1]
