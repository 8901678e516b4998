"""The few calls to GitHub that signing in needs: a token for a code, who that is, and whether they belong.

Sources: docs.github.com, "Authorizing OAuth apps", "Get the authenticated user", "Get an
organization membership for the authenticated user".
"""

from typing import Any, Final, TypeVar

import httpx
import msgspec

from relay_stub.oauth.identity.github_settings import GitHubApp
from relay_stub.oauth.identity.port import SignInRefused

_TIMEOUT_S: Final = 10.0
_MAX_ANSWER_BYTES: Final = 256 * 1024
_HEADERS: Final = {
    "Accept": "application/vnd.github+json",
    "X-GitHub-Api-Version": "2022-11-28",
    "User-Agent": "pocketcoder-relay",
}
_NOT_A_MEMBER: Final = frozenset({403, 404})

Answer = TypeVar("Answer")


class GitHubUnavailable(SignInRefused):
    """GitHub can't be reached or answered in a way that nobody documented. What exactly is in ``__cause__``."""

    def __init__(self) -> None:
        super().__init__("GitHub cannot be reached, or gave no usable answer. Try again in a few minutes.")


class AppRefused(SignInRefused):
    """GitHub does not accept the relay's OAuth app. ``code`` is GitHub's own word for why."""

    def __init__(self, code: str) -> None:
        super().__init__("GitHub does not accept this relay's app. Whoever runs the relay finds the reason in its log.")
        self.code = code


# What the person can mend. Anything else is the app's, or ours.
_REFUSALS_OF_CODE: Final = {
    "bad_verification_code": "GitHub did not confirm the sign-in, which may have taken too long. Begin again.",
    "unverified_user_email": "GitHub wants you to verify your e-mail address first. Do so there, then begin again.",
}


class GitHubUser(msgspec.Struct, frozen=True):
    id: int
    login: str
    name: str | None = None
    avatar_url: str | None = None


class _TokenAnswer(msgspec.Struct, frozen=True):
    """GitHub says 200 to what it refuses, too."""

    access_token: str = ""
    token_type: str = ""
    error: str = ""


class _Membership(msgspec.Struct, frozen=True):
    state: str


class GitHubApi:
    """Every method raises SignInRefused: GitHubUnavailable, AppRefused, or for a code that GitHub does not take."""

    def __init__(self, app: GitHubApp) -> None:
        self._app = app

    async def token_for(self, code: str, *, verifier: str, callback_uri: str) -> str:
        form = {
            "client_id": self._app.client_id,
            "client_secret": self._app.client_secret,
            "code": code,
            "redirect_uri": callback_uri,
            "code_verifier": verifier,
        }
        uri = f"{self._app.url}/login/oauth/access_token"
        status, body = await _ask("POST", uri, headers={**_HEADERS, "Accept": "application/json"}, data=form)
        answer = _decoded(status, body, _TokenAnswer)
        if answer.error in _REFUSALS_OF_CODE:
            raise SignInRefused(_REFUSALS_OF_CODE[answer.error])
        if answer.error:
            raise AppRefused(answer.error)
        if not answer.access_token or answer.token_type.lower() != "bearer":
            raise GitHubUnavailable
        return answer.access_token

    async def user(self, token: str) -> GitHubUser:
        status, body = await self._get("/user", token)
        return _decoded(status, body, GitHubUser)

    async def is_member(self, organization: str, token: str) -> bool:
        """Whether the user is an active member; one who was only invited is not."""
        status, body = await self._get(f"/user/memberships/orgs/{organization}", token)
        return status not in _NOT_A_MEMBER and _decoded(status, body, _Membership).state == "active"

    async def _get(self, path: str, token: str) -> tuple[int, bytes]:
        return await _ask("GET", f"{self._app.api_url}{path}", headers={**_HEADERS, "Authorization": f"Bearer {token}"})


async def _ask(method: str, uri: str, *, headers: dict[str, str], data: Any = None) -> tuple[int, bytes]:
    body = b""
    try:
        async with (
            httpx.AsyncClient(timeout=_TIMEOUT_S, follow_redirects=False) as http,
            http.stream(method, uri, headers=headers, data=data) as response,
        ):
            async for chunk in response.aiter_bytes():
                body += chunk
                if len(body) > _MAX_ANSWER_BYTES:
                    raise GitHubUnavailable
            return response.status_code, body
    except (httpx.HTTPError, httpx.InvalidURL) as exc:
        raise GitHubUnavailable from exc


def _decoded(status: int, body: bytes, kind: type[Answer]) -> Answer:
    try:
        if status == httpx.codes.OK:
            return msgspec.json.decode(body, type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as exc:
        raise GitHubUnavailable from exc
    raise GitHubUnavailable
