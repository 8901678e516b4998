"""Signing in by browser: a listener on loopback, PKCE, one callback (RFC 8252, RFC 7636)."""

import asyncio
import base64
import hashlib
import hmac
import os
import platform
import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Final
from urllib.parse import parse_qs, urlencode, urlsplit, urlunsplit

from host.core.errors import ForPeople
from host.core.peer import is_another_user
from host.protocol.messages.auth import HOST_CLIENT_ID, AuthExchange

LOGIN_TIMEOUT_S: Final = 300.0
_CALLBACK_PATH: Final = "/callback"
_REQUEST_TIMEOUT_S: Final = 10.0
_MAX_REQUEST_BYTES: Final = 16 * 1024

_DONE_PAGE: Final = "Signed in. You can close this page and go back to the terminal."
_FOREIGN: Final = (
    "Another user of this machine came back in place of your browser, so nobody was signed in. "
    "If that was you, run: pocketcoder login --device"
)
_REFUSED: Final = (
    "The relay did not let you in: the sign-in was cancelled in the browser, or the account you chose may not sign in "
    "there. Run pocketcoder login again, or ask whoever runs the relay, whose pocketcoder-relay audit tells the reason."
)
_FAILED_PAGE: Final = "Signing in did not work. Look at the terminal, which says why."


class LoginFailed(ForPeople):
    """Signing in did not work. The message says why and what to do."""


@dataclass(frozen=True)
class LoginAttempt:
    """One try: ``url`` is for the user's browser; ``exchange`` waits for the browser to come back."""

    url: str
    _redirect_uri: str
    _verifier: str
    _callback: "asyncio.Future[str]"

    async def exchange(self, *, timeout_s: float = LOGIN_TIMEOUT_S) -> AuthExchange:
        """Raises LoginFailed when the browser doesn't come, or comes with a refusal."""
        try:
            async with asyncio.timeout(timeout_s):
                code = await self._callback
        except TimeoutError as exc:
            raise LoginFailed(
                f"The browser did not come back within {timeout_s / 60:g} minutes. Run pocketcoder login again."
            ) from exc
        return AuthExchange(code=code, code_verifier=self._verifier, redirect_uri=self._redirect_uri)


@asynccontextmanager
async def login_attempt(relay_url: str) -> AsyncIterator[LoginAttempt]:
    """Listen on a random loopback port for as long as the context is open."""
    verifier, state = secrets.token_urlsafe(48), secrets.token_urlsafe(32)
    callback: asyncio.Future[str] = asyncio.get_running_loop().create_future()
    listener = _CallbackListener(state, callback)
    server = await asyncio.start_server(listener.serve, "127.0.0.1", 0, limit=_MAX_REQUEST_BYTES)
    redirect_uri = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}{_CALLBACK_PATH}"
    try:
        yield LoginAttempt(_authorize_url(relay_url, redirect_uri, state, verifier), redirect_uri, verifier, callback)
    finally:
        server.close()
        await server.wait_closed()
        callback.cancel()


def _authorize_url(relay_url: str, redirect_uri: str, state: str, verifier: str) -> str:
    challenge = base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).rstrip(b"=").decode()
    query = {
        "response_type": "code",
        "client_id": HOST_CLIENT_ID,
        "redirect_uri": redirect_uri,
        "state": state,
        "code_challenge": challenge,
        "code_challenge_method": "S256",
    }
    parts = urlsplit(relay_url)
    scheme = {"ws": "http", "wss": "https"}[parts.scheme]
    return urlunsplit(parts._replace(scheme=scheme, path=f"{parts.path}/oauth/authorize", query=urlencode(query)))


class _CallbackListener:
    """Takes one good callback; everything else gets a 404 and changes nothing.

    Another user of the machine may know the state: the browser has it in its arguments, with the challenge. Taking
    a code from them would sign this machine in as them.
    """

    def __init__(self, state: str, callback: "asyncio.Future[str]") -> None:
        self._state = state
        self._callback = callback

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            async with asyncio.timeout(_REQUEST_TIMEOUT_S):
                head = await reader.readuntil(b"\r\n\r\n")
                is_foreign = await asyncio.to_thread(_is_another_users, writer)
                status, text = self._answer(head.split(b"\r\n", 1)[0].decode("ascii", "replace"), is_foreign)
                writer.write(_page(status, text))
                await writer.drain()
        except (TimeoutError, ConnectionError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            pass
        finally:
            writer.close()

    def _answer(self, request_line: str, is_foreign: bool) -> tuple[str, str]:
        method, _, rest = request_line.partition(" ")
        path, _, parameters = rest.partition(" ")[0].partition("?")
        query = {name: values[0] for name, values in parse_qs(parameters).items()}
        state_matches = hmac.compare_digest(query.get("state", "").encode(), self._state.encode())
        if method != "GET" or path != _CALLBACK_PATH or not state_matches or self._callback.done():
            return "404 Not Found", _FAILED_PAGE
        if is_foreign:
            self._callback.set_exception(LoginFailed(_FOREIGN))
            return "403 Forbidden", _FAILED_PAGE
        if code := query.get("code"):
            self._callback.set_result(code)
            return "200 OK", _DONE_PAGE
        # What the query says of the reason is foreign text and is not repeated.
        self._callback.set_exception(LoginFailed(_REFUSED))
        return "400 Bad Request", _FAILED_PAGE


def _is_another_users(writer: asyncio.StreamWriter) -> bool:
    # In WSL the browser is one of Windows, and no process here.
    if not hasattr(os, "geteuid") or "microsoft" in platform.release().lower():
        return False
    return is_another_user(writer.get_extra_info("peername"), writer.get_extra_info("sockname"), os.geteuid())


def _page(status: str, text: str) -> bytes:
    body = f"<!doctype html><meta charset=utf-8><title>PocketCoder</title><p>{text}</p>".encode()
    head = (
        f"HTTP/1.1 {status}\r\nContent-Type: text/html; charset=utf-8\r\nContent-Length: {len(body)}\r\n"
        "Content-Security-Policy: default-src 'none'\r\nReferrer-Policy: no-referrer\r\nCache-Control: no-store\r\n"
        "Connection: close\r\n\r\n"
    )
    return head.encode() + body
