"""A person at a browser: opens the relay's pages, fills in their forms, and is sent where they lead."""

import asyncio
import re
import ssl
import subprocess
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import parse_qs, urlencode, urljoin, urlsplit

import httpx

from host.protocol.messages.auth import AuthExchange
from relay_stub.client import RelayClient, http_url
from tests.relay.oauth.browsers import CHALLENGE, REDIRECT_URI, VERIFIER, Page
from tests.support.processes import COMMAND_TIMEOUT_S, MachineProcess

_TIMEOUT_S: Final = 20.0
_MAX_STEPS: Final = 5


@dataclass(frozen=True)
class Person:
    """``answers`` are what they know, by the names of a form's fields; ``trust`` whose certificates they accept."""

    answers: dict[str, str] = field(default_factory=dict)
    trust: ssl.SSLContext | None = None

    def sign_in(self, url: str) -> None:
        """Go through the pages until the browser is back where it was opened for."""
        with self._browser(follow_redirects=True) as browser:
            page = browser.get(url)
            for _ in range(_MAX_STEPS):
                if not Page(page.text).forms:
                    break
                page = self._send(browser, page, "approve")
        assert "Signed in. You can close this page" in page.text, page.text

    def decide(self, url: str, decision: str = "approve") -> str:
        """Answer for a machine whose code is in ``url``; return what the page says then."""
        with self._browser(follow_redirects=True) as browser:
            page = self._send(browser, browser.get(url), decision)
        return Page(page.text).text

    def code_for_a_phone(self, relay_url: str) -> str:
        """The authorization code that the relay sends the PWA."""
        query = {
            "response_type": "code",
            "client_id": "pocketcoder-web",
            "redirect_uri": REDIRECT_URI,
            "state": "state",
            "code_challenge": CHALLENGE,
            "code_challenge_method": "S256",
        }
        with self._browser(follow_redirects=False) as browser:
            page = browser.get(f"{http_url(relay_url)}/oauth/authorize?{urlencode(query)}")
            page = self._send(browser, page, "approve")
            while page.is_redirect and not page.headers["Location"].startswith(REDIRECT_URI):
                page = browser.get(page.headers["Location"])
        return parse_qs(urlsplit(page.headers["Location"]).query)["code"][0]

    def _send(self, browser: httpx.Client, page: httpx.Response, decision: str) -> httpx.Response:
        form = Page(page.text)
        wanted = {**form.fields, **{name: self.answers[name] for name in form.fields if name in self.answers}}
        action = urljoin(str(page.url), form.forms[0]["action"] or "")
        return browser.post(action, data={**wanted, "decision": decision})

    def _browser(self, *, follow_redirects: bool) -> httpx.Client:
        trust = True if self.trust is None else self.trust
        return httpx.Client(trust_env=False, verify=trust, follow_redirects=follow_redirects, timeout=_TIMEOUT_S)


@asynccontextmanager
async def phone_of(person: Person, relay_url: str) -> AsyncIterator[RelayClient]:
    """A phone that is signed in as this person."""
    code = await asyncio.to_thread(person.code_for_a_phone, relay_url)
    async with RelayClient.connect(relay_url) as client:
        tokens = await client.tokens(AuthExchange(code=code, code_verifier=VERIFIER, redirect_uri=REDIRECT_URI))
        client.welcome = await client.hello(tokens.access_token, device="phone")
        yield client


def login_by_device(machine: MachineProcess, relay_url: str, decide: Callable[[str], object]) -> tuple[int, str]:
    """Run ``pocketcoder login --device``; ``decide`` gets the page's URL with the code that is shown.

    Returns the exit code, and what was said to the user.
    """
    with machine.begin("login", "--relay", relay_url, "--device") as login:
        said = decide_on(login, decide)
        _, rest = login.communicate(timeout=COMMAND_TIMEOUT_S)
    return login.returncode, said + rest


def decide_on(login: "subprocess.Popen[str]", decide: Callable[[str], object]) -> str:
    """Read up to the code, have it decided on; return what was read."""
    assert login.stderr is not None
    said = ""
    while (code := re.search(r"open (\S+)\nand confirm the code (\S+) ", said)) is None:
        line = login.stderr.readline()
        assert line, f"No code was shown: {said}"
        said += line
    decide(f"{code[1]}?user_code={code[2]}")
    return said
