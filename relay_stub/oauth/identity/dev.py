"""Signing in for development: whoever gives a name is that person, so only on the relay's own machine."""

import re
from collections.abc import Mapping
from dataclasses import replace
from urllib.parse import urlsplit

from relay_stub.addresses import is_loopback
from relay_stub.oauth.identity.port import Identity, Question, Visit

_QUESTION = Question(field="login", label="Name")
_LOGIN = re.compile(r"[A-Za-z0-9._-]{1,39}")


class DevIdentity:
    """Believes any login name. Not for a relay that other machines reach (``relay_stub.exposure``)."""

    name = "dev"

    def serves(self, visit: Visit) -> bool:
        # Keeps out a website whose name was made to point at 127.0.0.1 (DNS rebinding), and a proxy nobody told us of.
        try:
            return is_loopback(urlsplit(visit.origin).hostname or "") and not visit.is_forwarded
        except ValueError:
            return False

    def begin(self) -> Question:
        return _QUESTION

    def believe(self, login_hint: str) -> Identity | Question:
        if _LOGIN.fullmatch(login_hint):
            return Identity(provider=self.name, subject=login_hint, login=login_hint)
        return replace(_QUESTION, problem="A name has 1 to 39 letters, digits, dots, dashes or underscores.")

    async def identify(self, answers: Mapping[str, str], visit: Visit) -> Identity | Question:
        return self.believe(answers.get(_QUESTION.field, ""))
