"""Signing in with GitHub, for the accounts and organizations that whoever runs the relay has named."""

import base64
import hashlib
import logging
from collections.abc import Callable, Mapping
from urllib.parse import urlencode, urlsplit

from relay_stub.oauth.identity.github_api import AppRefused, GitHubApi, GitHubUnavailable, GitHubUser
from relay_stub.oauth.identity.github_settings import GitHubSettings
from relay_stub.oauth.identity.port import Elsewhere, Handover, Identity, SignInRefused, Visit
from relay_stub.oauth.secret import random_secret

logger = logging.getLogger(__name__)


class GitHubIdentity:
    """``state`` and PKCE towards GitHub are new for each sign-in. The user's token is used and forgotten."""

    name = "github"

    def __init__(self, settings: GitHubSettings, *, new_secret: Callable[[], str] = random_secret) -> None:
        settings.check()
        self._settings = settings
        self._api = GitHubApi(settings.app)
        self._new_secret = new_secret
        self._logins = frozenset(login.lower() for login in settings.logins)

    def serves(self, visit: Visit) -> bool:
        return True

    def begin(self) -> Elsewhere:
        parts = urlsplit(self._settings.app.url)
        return Elsewhere("GitHub", f"{parts.scheme}://{parts.netloc}")

    def believe(self, login_hint: str) -> None:
        return None

    async def identify(self, answers: Mapping[str, str], visit: Visit) -> Handover:
        state, verifier, callback_uri = self._new_secret(), self._new_secret(), visit.callback_uri

        async def complete(brought: Mapping[str, str]) -> Identity:
            return await self._complete(brought, verifier, callback_uri)

        return Handover(self._authorize_uri(state, verifier, callback_uri), state, complete)

    def _authorize_uri(self, state: str, verifier: str, callback_uri: str) -> str:
        challenge = base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).rstrip(b"=").decode()
        query = {
            "client_id": self._settings.app.client_id,
            "redirect_uri": callback_uri,
            # Without a scope GitHub tells who somebody is, and nothing else.
            "scope": "read:org" if self._settings.organizations else "",
            "state": state,
            "allow_signup": "false",
            "code_challenge": challenge,
            "code_challenge_method": "S256",
        }
        return f"{self._settings.app.url}/login/oauth/authorize?{urlencode(query)}"

    async def _complete(self, brought: Mapping[str, str], verifier: str, callback_uri: str) -> Identity:
        if not brought.get("code"):
            if brought.get("error") != "access_denied":
                logger.error("GitHub sent a browser back without a code: %.100r", brought.get("error"))
            raise SignInRefused("Signing in was broken off at GitHub. Begin again if that was a mistake.")
        try:
            token = await self._api.token_for(brought["code"], verifier=verifier, callback_uri=callback_uri)
            user = await self._api.user(token)
            is_allowed = await self._is_allowed(user, token)
        except AppRefused as exc:
            logger.error("GitHub does not accept the OAuth app: %.100r", exc.code)
            raise
        except GitHubUnavailable as exc:
            logger.warning("GitHub gave no usable answer: %r", exc.__cause__)
            raise
        if not is_allowed:
            raise SignInRefused(
                "This GitHub account may not sign in here. Ask whoever runs the relay, or use another.", who=user.login
            )
        return Identity(self.name, str(user.id), user.login, name=user.name, avatar_url=user.avatar_url)

    async def _is_allowed(self, user: GitHubUser, token: str) -> bool:
        if user.login.lower() in self._logins:
            return True
        for organization in self._settings.organizations:
            if await self._api.is_member(organization, token):
                return True
        return False
