"""GitHub's OAuth as its documentation describes it, on loopback, for accounts that a test makes up.

Sources: docs.github.com, "Authorizing OAuth apps", "Troubleshooting OAuth app access token request
errors", "Troubleshooting authorization request errors", "REST API endpoints for users" and
"for organization members".
"""

import base64
import hashlib
import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlencode

from aiohttp import web
from aiohttp.test_utils import TestServer


@dataclass(frozen=True)
class Account:
    """``organizations`` maps an organization to the membership's state, ``active`` or ``pending``."""

    id: int
    login: str
    name: str | None = None
    organizations: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class _Code:
    account: Account
    scope: str
    redirect_uri: str
    challenge: str


@dataclass
class ScriptedGitHub:
    """``at_browser`` is who is signed in to GitHub and consents; None refuses."""

    client_id: str = "Iv1.app"
    client_secret: str = "github-secret-0123456789"
    callback_uri: str = ""
    at_browser: Account | None = None
    url: str = ""
    codes: dict[str, _Code] = field(default_factory=dict)
    tokens: dict[str, tuple[Account, str]] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)

    @asynccontextmanager
    async def running(self) -> AsyncIterator["ScriptedGitHub"]:
        app = web.Application()
        app.router.add_get("/login/oauth/authorize", self._authorize)
        app.router.add_post("/login/oauth/access_token", self._access_token)
        app.router.add_get("/user", self._user)
        app.router.add_get("/user/memberships/orgs/{organization}", self._membership)
        async with TestServer(app) as server:
            self.url = str(server.make_url("")).rstrip("/")
            yield self

    async def _authorize(self, request: web.Request) -> web.Response:
        query = request.query
        if query.get("client_id") != self.client_id:
            raise web.HTTPNotFound
        back: dict[str, str] = {"state": query["state"]} if "state" in query else {}
        redirect_uri = query.get("redirect_uri", self.callback_uri)
        if redirect_uri != self.callback_uri:
            back = {"error": "redirect_uri_mismatch", "error_description": "It must match.", **back}
            raise web.HTTPFound(f"{self.callback_uri}?{urlencode(back)}")
        if self.at_browser is None:
            description = "The user has denied your application access."
            back = {"error": "access_denied", "error_description": description, **back}
        else:
            code = secrets.token_hex(10)
            self.codes[code] = _Code(
                self.at_browser, query.get("scope", ""), redirect_uri, query.get("code_challenge", "")
            )
            back = {"code": code, **back}
        raise web.HTTPFound(f"{redirect_uri}?{urlencode(back)}")

    async def _access_token(self, request: web.Request) -> web.Response:
        form = await request.post()
        self.asked.append("token")
        answer = self._token_for({name: str(form[name]) for name in form})
        # Errors come with 200, too.
        if "json" in request.headers.get("Accept", ""):
            return web.json_response(answer)
        return web.Response(text=urlencode(answer), content_type="application/x-www-form-urlencoded")

    def _token_for(self, form: dict[str, str]) -> dict[str, str]:
        if (form.get("client_id"), form.get("client_secret")) != (self.client_id, self.client_secret):
            return _error("incorrect_client_credentials")
        code = self.codes.pop(form.get("code", ""), None)
        if code is None or not _verifies(form.get("code_verifier", ""), code.challenge):
            return _error("bad_verification_code")
        if form.get("redirect_uri", code.redirect_uri) != code.redirect_uri:
            return _error("redirect_uri_mismatch")
        token = f"gho_{secrets.token_hex(18)}"
        self.tokens[token] = (code.account, code.scope)
        return {"access_token": token, "scope": code.scope, "token_type": "bearer"}

    async def _user(self, request: web.Request) -> web.Response:
        self.asked.append("user")
        account, _ = self._account(request)
        avatar_url = f"https://avatars.example/u/{account.id}"
        user: dict[str, Any] = {"login": account.login, "id": account.id, "name": account.name, "type": "User"}
        return web.json_response({**user, "avatar_url": avatar_url})

    async def _membership(self, request: web.Request) -> web.Response:
        self.asked.append("membership")
        account, scope = self._account(request)
        if "read:org" not in scope.split():
            raise web.HTTPForbidden(text='{"message":"Forbidden"}', content_type="application/json")
        state = account.organizations.get(request.match_info["organization"])
        if state is None:
            raise web.HTTPNotFound(text='{"message":"Not Found"}', content_type="application/json")
        return web.json_response({"state": state, "role": "member"})

    def _account(self, request: web.Request) -> tuple[Account, str]:
        scheme, _, token = request.headers.get("Authorization", "").partition(" ")
        if scheme != "Bearer" or token not in self.tokens:
            raise web.HTTPUnauthorized(text='{"message":"Bad credentials"}', content_type="application/json")
        return self.tokens[token]


def _verifies(verifier: str, challenge: str) -> bool:
    """Without a challenge in the beginning a verifier is not asked for."""
    digest = hashlib.sha256(verifier.encode()).digest()
    return not challenge or base64.urlsafe_b64encode(digest).rstrip(b"=").decode() == challenge


def _error(code: str) -> dict[str, str]:
    return {"error": code, "error_description": f"About {code}.", "error_uri": "/apps/"}
