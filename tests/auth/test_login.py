"""The listener for the browser's way back: one good callback, and nothing for anybody else."""

import asyncio
import base64
import hashlib
import os
import re
import sys
from collections.abc import AsyncIterator
from urllib.parse import parse_qs, quote, urlsplit

import pytest

from host.auth.login import LoginAttempt, LoginFailed, login_attempt

RELAY = "wss://relay.example:8443"


class Browser:
    """Sends bare bytes to where the relay would send the browser back to."""

    def __init__(self, attempt: LoginAttempt) -> None:
        self.query = {name: values[0] for name, values in parse_qs(urlsplit(attempt.url).query).items()}
        self.state = self.query["state"]
        self.port = urlsplit(self.query["redirect_uri"]).port

    async def send(self, request: bytes) -> str:
        """The whole answer; empty when the listener just closes."""
        async with asyncio.timeout(10):
            reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
            try:
                writer.write(request)
                return (await reader.read()).decode()
            except ConnectionError:
                return ""
            finally:
                writer.close()

    async def get(self, target: str, *, method: str = "GET") -> str:
        return await self.send(f"{method} {target} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n".encode())

    async def come_back(self, **query: str) -> str:
        parameters = "&".join(f"{name}={quote(value)}" for name, value in {"state": self.state, **query}.items())
        return await self.get(f"/callback?{parameters}")


@pytest.fixture
async def attempt() -> AsyncIterator[LoginAttempt]:
    async with login_attempt(RELAY) as attempt:
        yield attempt


@pytest.fixture
def browser(attempt: LoginAttempt) -> Browser:
    return Browser(attempt)


def test_the_url_asks_as_the_contract_says(attempt: LoginAttempt, browser: Browser) -> None:
    assert attempt.url.startswith("https://relay.example:8443/oauth/authorize?")
    assert set(browser.query) == {
        "response_type",
        "client_id",
        "redirect_uri",
        "state",
        "code_challenge",
        "code_challenge_method",
    }
    assert browser.query["response_type"] == "code"
    assert browser.query["client_id"] == "pocketcoder-host"
    assert browser.query["code_challenge_method"] == "S256"
    assert re.fullmatch(r"http://127\.0\.0\.1:\d+/callback", browser.query["redirect_uri"])


async def test_a_relay_on_this_machine_is_asked_over_http() -> None:
    async with login_attempt("ws://127.0.0.1:8787") as attempt:
        assert attempt.url.startswith("http://127.0.0.1:8787/oauth/authorize?")


async def test_every_attempt_has_its_own_state_and_verifier(browser: Browser) -> None:
    async with login_attempt(RELAY) as other:
        second = Browser(other)
        assert second.state != browser.state
        assert second.query["code_challenge"] != browser.query["code_challenge"]
        assert len(browser.state) >= 32


async def test_the_code_that_comes_back_is_exchanged_with_the_verifier_of_the_challenge(
    attempt: LoginAttempt, browser: Browser
) -> None:
    page = await browser.come_back(code="code-1")
    exchange = await attempt.exchange(timeout_s=5)

    assert page.startswith("HTTP/1.1 200 OK")
    assert "Signed in" in page
    assert exchange.code == "code-1"
    assert exchange.redirect_uri == browser.query["redirect_uri"]
    digest = hashlib.sha256(exchange.code_verifier.encode()).digest()
    assert base64.urlsafe_b64encode(digest).rstrip(b"=").decode() == browser.query["code_challenge"]
    assert 43 <= len(exchange.code_verifier) <= 128


REFUSED = [
    ("GET", "/callback?code=evil"),
    ("GET", "/callback?code=evil&state="),
    ("GET", "/callback?code=evil&state=wrong"),
    ("GET", "/callback?code=evil&state=%F0%9F%98%80"),
    ("GET", "/callback?code=evil&state=%ff%fe"),
    ("GET", "/callback?error=access_denied&state=wrong"),
    ("GET", "/callback?error=access_denied"),
    ("GET", "/"),
    ("GET", "/?code=evil&state={state}"),
    ("GET", "/callback/?code=evil&state={state}"),
    ("GET", "/Callback?code=evil&state={state}"),
    ("GET", "/callback/../callback?code=evil&state={state}"),
    ("GET", "//callback?code=evil&state={state}"),
    ("GET", "//[?code=evil&state={state}"),
    ("GET", "http://[x/callback?code=evil&state={state}"),
    ("GET", "/favicon.ico"),
    ("POST", "/callback?code=evil&state={state}"),
    ("HEAD", "/callback?code=evil&state={state}"),
    ("OPTIONS", "/callback?code=evil&state={state}"),
    ("get", "/callback?code=evil&state={state}"),
]


@pytest.mark.parametrize(("method", "target"), REFUSED, ids=lambda text: text)
async def test_anything_but_the_callback_with_its_state_is_not_found_and_changes_nothing(
    attempt: LoginAttempt, browser: Browser, method: str, target: str
) -> None:
    page = await browser.get(target.format(state=browser.state), method=method)
    assert page.startswith("HTTP/1.1 404 ")

    await browser.come_back(code="code-1")
    assert (await attempt.exchange(timeout_s=5)).code == "code-1"


@pytest.mark.parametrize(
    "garbage",
    [b"\r\n\r\n", b"\0" * 100 + b"\r\n\r\n", b"\xff\xfe\r\n\r\n", b"GET\r\n\r\n", b"\x16\x03\x01\x02\x00\r\n\r\n"],
)
async def test_garbage_changes_nothing(attempt: LoginAttempt, browser: Browser, garbage: bytes) -> None:
    assert (await browser.send(garbage)).startswith("HTTP/1.1 404 ")

    await browser.come_back(code="code-1")
    assert (await attempt.exchange(timeout_s=5)).code == "code-1"


async def test_a_request_without_end_is_cut_off(attempt: LoginAttempt, browser: Browser) -> None:
    assert await browser.send(b"GET /callback?" + b"x" * 100_000) == ""

    await browser.come_back(code="code-1")
    assert (await attempt.exchange(timeout_s=5)).code == "code-1"


async def test_slow_clients_keep_nobody_waiting_and_are_cut_off(
    attempt: LoginAttempt, browser: Browser, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("host.auth.login._REQUEST_TIMEOUT_S", 0.2)
    connections = [await asyncio.open_connection("127.0.0.1", browser.port) for _ in range(20)]
    for _, writer in connections:
        writer.write(b"GET /callb")

    await browser.come_back(code="code-1")
    assert (await attempt.exchange(timeout_s=5)).code == "code-1"
    for reader, writer in connections:
        assert await asyncio.wait_for(reader.read(), 5) == b""
        writer.close()


async def test_a_callback_counts_once(attempt: LoginAttempt, browser: Browser) -> None:
    assert (await browser.come_back(code="code-1")).startswith("HTTP/1.1 200 ")
    assert (await browser.come_back(code="code-2")).startswith("HTTP/1.1 404 ")
    assert (await browser.come_back(code="code-1")).startswith("HTTP/1.1 404 ")

    assert (await attempt.exchange(timeout_s=5)).code == "code-1"


_COME_BACK_AS_NOBODY = """
import os, socket, sys
os.setuid(65534)
with socket.socket() as browser:
    browser.connect(("127.0.0.1", int(sys.argv[1])))
    browser.sendall(sys.stdin.buffer.read())
    sys.stdout.buffer.write(browser.recv(1000))
"""


@pytest.mark.skipif(os.geteuid() != 0 or sys.platform != "linux", reason="only root can be another user, on Linux")
async def test_another_user_who_knows_the_state_signs_nobody_in(attempt: LoginAttempt, browser: Browser) -> None:
    """Anybody on the machine reads the state in the browser's arguments, and can have a code for its challenge."""
    request = f"GET /callback?state={browser.state}&code=of-another HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"
    other = await asyncio.create_subprocess_exec(
        sys.executable,
        "-c",
        _COME_BACK_AS_NOBODY,
        str(browser.port),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    page, _ = await asyncio.wait_for(other.communicate(request.encode()), 10)

    assert page.startswith(b"HTTP/1.1 403 ")
    with pytest.raises(LoginFailed, match=r"Another user .* pocketcoder login --device"):
        await attempt.exchange(timeout_s=5)


async def test_a_refusal_by_the_relay_ends_the_attempt_at_once(attempt: LoginAttempt, browser: Browser) -> None:
    page = await browser.come_back(error="access_denied", error_description="s3cret")
    assert page.startswith("HTTP/1.1 400 ")

    with pytest.raises(LoginFailed, match=r"cancelled .* may not sign in .* pocketcoder login again") as raised:
        await attempt.exchange(timeout_s=5)
    assert "s3cret" not in str(raised.value)


@pytest.mark.parametrize("name", ["code", "error", "error_description", "anything"])
async def test_nothing_of_the_request_is_repeated_in_the_page(
    attempt: LoginAttempt, browser: Browser, name: str
) -> None:
    page = await browser.come_back(**{name: "<script>evil()</script>\r\nSet-Cookie: evil=1"})

    assert "evil" not in page
    assert "Set-Cookie" not in page
    assert "default-src 'none'" in page
    assert "Cache-Control: no-store" in page
    if name != "code":
        with pytest.raises(LoginFailed):
            await attempt.exchange(timeout_s=5)


async def test_a_browser_that_never_comes_back_ends_the_attempt(attempt: LoginAttempt) -> None:
    with pytest.raises(LoginFailed, match="did not come back"):
        await attempt.exchange(timeout_s=0.05)


async def test_nobody_listens_any_more_afterwards() -> None:
    async with login_attempt(RELAY) as attempt:
        browser = Browser(attempt)

    with pytest.raises(ConnectionRefusedError):
        await browser.get("/callback")
