"""Secrets are taken out of everything that is logged: those we know, and what looks like one."""

import re
from typing import Final

REDACTED: Final = "[redacted]"

_MAX_SECRETS: Final = 64
# A shorter one would blot out ordinary words.
_MIN_SECRET_CHARS: Final = 6

# Between a member's name and its value, in JSON, in a repr, in JSON within a repr, in a query.
_IS: Final = r"""(?P<is>\\*["']?\s*[:=]\s*\\*["']?)"""
_VALUE: Final = r"""[^\s"'&,;(){}\[\]\\]"""
_MEMBERS: Final = (
    r"access_?token|refresh_?token|id_?token|code_?verifier|device_?code|user_?code|client_?secret|passcode|password"
)

_PATTERNS: Final = (
    (re.compile(r"\b(Bearer\s+)[A-Za-z0-9._~+/=-]+", re.IGNORECASE), rf"\1{REDACTED}"),
    (re.compile(r"\beyJ[A-Za-z0-9_-]{5,}(?:\.[A-Za-z0-9_-]*){0,4}"), REDACTED),
    (re.compile(rf"\b(?P<name>{_MEMBERS}){_IS}{_VALUE}+", re.IGNORECASE), rf"\g<name>\g<is>{REDACTED}"),
    # Error codes and close codes are no secrets: FILE_NOT_FOUND has no lower-case letter, 4401 is short.
    (re.compile(rf"\b(?P<name>token|code){_IS}(?={_VALUE}*[a-z0-9]){_VALUE}{{12,}}"), rf"\g<name>\g<is>{REDACTED}"),
)


# In a URL, whatever comes before the host: tokens are often given as the name.
_URL_CREDENTIALS: Final = re.compile(
    r"""\b(?:(https?://)[^\s/"'<>]+@|([a-z][a-z0-9+.-]{0,20}://[^\s/"'<>:@]*:)[^\s/"'<>]+@)""", re.IGNORECASE
)


def without_url_credentials(text: str) -> str:
    """The text, with what lets one in taken out of its URLs: passwords, and from ``http`` ones the names, too."""
    return _URL_CREDENTIALS.sub(lambda found: f"{found[1] or found[2]}{REDACTED}@", text)


class Redactor:
    """Knows the last 64 secrets it was told."""

    def __init__(self) -> None:
        self._secrets: tuple[str, ...] = ()

    def add(self, secret: str) -> None:
        """Take ``secret`` out of all that is cleaned from now on. One under 6 characters is not remembered."""
        if len(secret) >= _MIN_SECRET_CHARS:
            others = tuple(known for known in self._secrets if known != secret)
            self._secrets = (*others, secret)[-_MAX_SECRETS:]

    def clean(self, text: str) -> str:
        for secret in sorted(self._secrets, key=len, reverse=True):
            text = text.replace(secret, REDACTED)
        for pattern, replacement in _PATTERNS:
            text = pattern.sub(replacement, text)
        return without_url_credentials(text)
