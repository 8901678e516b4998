"""How the daemon proves to the CLI that it is the daemon, before the CLI shows it the token.

Who listens on the port may be anyone: the port is fixed, and any user of the machine may bind
it first. The answer is bound to the port, so that it can't be had from the daemon on another one.
"""

import hmac

CHALLENGE_HEADER = "X-PocketCoder-Challenge"
PROOF_HEADER = "X-PocketCoder-Proof"

_HEX_DIGITS = frozenset("0123456789abcdef")


def is_challenge(text: str) -> bool:
    """Whether ``text`` is 32 to 128 lower-case hexadecimal digits."""
    return 32 <= len(text) <= 128 and _HEX_DIGITS.issuperset(text)


def proof(token: str, port: int, challenge: str) -> str:
    """Hexadecimal HMAC-SHA256, by the token, of ``pocketcoder-control:<port>:<challenge>``."""
    return hmac.digest(token.encode(), f"pocketcoder-control:{port}:{challenge}".encode(), "sha256").hex()


def is_proof(text: str, token: str, port: int, challenge: str) -> bool:
    """Compares in constant time."""
    return hmac.compare_digest(text.encode(), proof(token, port, challenge).encode())
