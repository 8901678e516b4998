"""How a relay signs people in with GitHub: by which app, and whom."""

import re
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlsplit

from relay_stub.addresses import is_loopback
from relay_stub.oauth.identity.port import ProviderUnusable

_NAME: Final = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9_-]{0,38})")


@dataclass(frozen=True)
class GitHubApp:
    """An OAuth app as it is registered. The URLs have no slash at their end."""

    client_id: str
    client_secret: str
    url: str = "https://github.com"
    api_url: str = "https://api.github.com"

    def __repr__(self) -> str:
        return f"GitHubApp(client_id={self.client_id!r}, url={self.url!r}, api_url={self.api_url!r})"


@dataclass(frozen=True)
class GitHubSettings:
    """Who may sign in: these logins, and the active members of these organizations."""

    app: GitHubApp
    logins: tuple[str, ...] = ()
    organizations: tuple[str, ...] = ()

    def check(self) -> None:
        """Raises ProviderUnusable for what would let nobody in, or everybody."""
        if not self.app.client_id or not self.app.client_secret:
            raise ProviderUnusable(
                "Signing in with GitHub needs an OAuth app. Give its id with --github-client-id, and its secret in "
                "POCKETCODER_GITHUB_CLIENT_SECRET or in a file with --github-secret-file."
            )
        if not self.logins and not self.organizations:
            raise ProviderUnusable(
                "Anybody with a GitHub account could sign in. Say who may with --github-login or --github-organization."
            )
        for name in (*self.logins, *self.organizations):
            if not _NAME.fullmatch(name):
                raise ProviderUnusable(f"{name!r} is not the name of a GitHub account or organization.")
        for url in (self.app.url, self.app.api_url):
            _check_url(url)


def _check_url(url: str) -> None:
    parts = urlsplit(url)
    is_safe = parts.scheme == "https" or (parts.scheme == "http" and is_loopback(parts.hostname or ""))
    if not is_safe or not parts.hostname or url.endswith("/"):
        raise ProviderUnusable(f"{url!r} is no address of GitHub. Write it as https://github.example.")
