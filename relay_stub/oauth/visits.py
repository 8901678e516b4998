"""Where a request came from, through proxies, and whether a form is one of our own pages'."""

import re
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlsplit

from aiohttp import web

from relay_stub.addresses import client_address
from relay_stub.oauth.identity.port import Visit
from relay_stub.oauth.secret import random_secret

_FORWARDED_HEADERS: Final = ("Forwarded", "X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Proto", "Via")
_HOST: Final = re.compile(r"[A-Za-z0-9._-]+(:[0-9]+)?|\[[0-9A-Fa-f:.]+\](:[0-9]+)?")
_COOKIE_LIFETIME_S: Final = 600
_SECRET_CHARS: Final = len(random_secret())


@dataclass(frozen=True)
class Visits:
    """``public_url`` is the relay's address as everybody knows it; None where the request says it.

    So many proxies as are trusted are believed about whom they pass on and by which scheme.
    """

    public_url: str | None = None
    trusted_proxies: int = 0

    def of(self, request: web.Request) -> Visit:
        forwarded_for = request.headers.getall("X-Forwarded-For", [])
        return Visit(
            address=client_address(request.remote, forwarded_for, trusted_proxies=self.trusted_proxies),
            origin=self.public_url or f"{self._scheme(request)}://{_host(request)}",
            is_forwarded=any(name in request.headers for name in _FORWARDED_HEADERS),
        )

    def _scheme(self, request: web.Request) -> str:
        claimed = request.headers.get("X-Forwarded-Proto", "") if self.trusted_proxies else ""
        return claimed if claimed in ("http", "https") else request.scheme


def _host(request: web.Request) -> str:
    # It goes into links and policies.
    return request.host if _HOST.fullmatch(request.host) else "invalid"


def is_cross_site(request: web.Request, visit: Visit) -> bool:
    """Whether another website than the relay's own sent this form; a program that is no browser says nothing of it."""
    site = request.headers.get("Sec-Fetch-Site")
    if site is not None:
        return site not in ("same-origin", "none")
    return request.headers.get("Origin", visit.origin) != visit.origin


def browser_secret(request: web.Request, visit: Visit) -> str:
    """What tells this browser from others: its cookie, or a new secret for ``remember_browser``."""
    known = request.cookies.get(_cookie_name(visit), "")
    return known if len(known) == _SECRET_CHARS else random_secret()


def remember_browser(response: web.Response, secret: str, visit: Visit) -> None:
    response.set_cookie(
        _cookie_name(visit),
        secret,
        max_age=_COOKIE_LIFETIME_S,
        httponly=True,
        secure=_is_secure(visit),
        # Strict would not come along when the other site sends the browser back.
        samesite="Lax",
    )


def _cookie_name(visit: Visit) -> str:
    return "__Host-pocketcoder-sign-in" if _is_secure(visit) else "pocketcoder-sign-in"


def _is_secure(visit: Visit) -> bool:
    return urlsplit(visit.origin).scheme == "https"
