"""Signing in with the relay's own passcode: one owner, one secret made by the relay, of which only a hash is kept."""

import asyncio
import hashlib
import hmac
import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Final

from relay_stub.oauth.identity.guesses import Guesses
from relay_stub.oauth.identity.port import Identity, Question, Visit

# Crockford's base 32: no I, L, O or U, so that nothing is read wrongly. 20 of them are 100 bits.
_ALPHABET: Final = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
_READ_AS: Final = str.maketrans("OIL", "011", "- \t\r\n")
_GROUPS: Final = 4
_GROUP_CHARS: Final = 5
_MAX_ENTERED_CHARS: Final = 100
# 32 MiB and about a tenth of a second for each try.
_SCRYPT_N: Final = 2**15
_SCRYPT_R: Final = 8
_SCRYPT_MEMORY_BYTES: Final = 64 * 1024 * 1024
_SALT_BYTES: Final = 16

_OWNER: Final = Identity(provider="passcode", subject="owner", login="owner")
_QUESTION: Final = Question(field="passcode", label="Passcode", kind="passcode", login=_OWNER.login)


@dataclass(frozen=True)
class PasscodeHash:
    salt: bytes
    digest: bytes

    def admits(self, entered: str) -> bool:
        """Whether this is the passcode, in either case, with or without hyphens. Takes as long for any."""
        return hmac.compare_digest(_digest(entered, self.salt), self.digest)


def new_passcode() -> str:
    """Four groups of five characters, 100 random bits: ``7XK2M-…``."""
    groups = ("".join(secrets.choice(_ALPHABET) for _ in range(_GROUP_CHARS)) for _ in range(_GROUPS))
    return "-".join(groups)


def hash_passcode(passcode: str) -> PasscodeHash:
    salt = secrets.token_bytes(_SALT_BYTES)
    return PasscodeHash(salt, _digest(passcode, salt))


class PasscodeIdentity:
    """``stored`` is asked before and after each try, so that a passcode that was replaced is void at once."""

    name = _OWNER.provider

    def __init__(self, stored: Callable[[], PasscodeHash | None], guesses: Guesses) -> None:
        self._stored = stored
        self._guesses = guesses
        # One at a time: each takes memory, and a processor.
        self._checking = asyncio.Lock()

    def serves(self, visit: Visit) -> bool:
        return True

    def begin(self) -> Question:
        return _QUESTION

    def believe(self, login_hint: str) -> None:
        return None

    async def identify(self, answers: Mapping[str, str], visit: Visit) -> Identity | Question:
        entered = answers.get(_QUESTION.field, "")
        self._guesses.begin(visit.address)
        async with self._checking:
            stored = self._stored()
            is_right = stored is not None and await asyncio.to_thread(stored.admits, entered)
        if not is_right or self._stored() != stored:
            return replace(_QUESTION, problem="That is not the passcode.")
        self._guesses.succeeded(visit.address)
        return _OWNER


def _digest(passcode: str, salt: bytes) -> bytes:
    plain = passcode[:_MAX_ENTERED_CHARS].upper().translate(_READ_AS).encode("utf-8", "surrogatepass")
    return hashlib.scrypt(plain, salt=salt, n=_SCRYPT_N, r=_SCRYPT_R, p=1, maxmem=_SCRYPT_MEMORY_BYTES)
