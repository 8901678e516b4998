"""Random secrets, of which only the hash is kept."""

import hashlib
import secrets


def random_secret() -> str:
    """256 random bits in 43 characters that need no escaping anywhere."""
    return secrets.token_urlsafe(32)


def secret_hash(secret: str) -> bytes:
    """SHA-256: enough for random secrets, which can't be guessed from it."""
    return hashlib.sha256(secret.encode("utf-8", "surrogatepass")).digest()
