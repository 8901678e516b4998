"""Signing in for development: whoever gives a name is that person, so only on the relay's own machine."""

import re
from collections.abc import Mapping
from dataclasses import replace
from ipaddress import ip_address
from urllib.parse import urlsplit

from relay_stub.oauth.identity.port import Identity, ProviderUnusable, Question

PROVIDER_NAME = "dev"
_QUESTION = Question(field="login", label="Name")
_LOGIN = re.compile(r"[A-Za-z0-9._-]{1,39}")


class DevIdentity:
    """Believes any login name. ``relay_host`` is the address the relay listens on; raises ProviderUnusable
    unless that is a loopback address."""

    def __init__(self, relay_host: str) -> None:
        if not _is_loopback(relay_host):
            raise ProviderUnusable(
                f"The identity provider dev asks for no secret, so it works only on a loopback address, not on "
                f"{relay_host!r}. Listen on 127.0.0.1, or choose another identity provider."
            )

    def serves(self, origin: str) -> bool:
        # Also keeps out a website whose name was made to point at 127.0.0.1 (DNS rebinding), and a public proxy.
        try:
            return _is_loopback(urlsplit(origin).hostname or "")
        except ValueError:
            return False

    async def begin(self) -> Question:
        return _QUESTION

    async def identify(self, answers: Mapping[str, str]) -> Identity | Question:
        login = answers.get(_QUESTION.field, "")
        if _LOGIN.fullmatch(login):
            return Identity(provider=PROVIDER_NAME, subject=login, login=login)
        return replace(_QUESTION, problem="A name has 1 to 39 letters, digits, dots, dashes or underscores.")


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False
