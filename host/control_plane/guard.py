"""Who may ask the control plane. Pure decisions over a request's headers.

Every website that the user visits can reach 127.0.0.1, and so can every user of the machine.
A browser gives itself away by what it adds to a request or, after DNS rebinding, by the ``Host``.
"""

import hmac
from collections.abc import Callable, Sequence

# All values of the header with that name, in any case; none if it is absent.
Headers = Callable[[str], Sequence[str]]

_HOSTS = ("127.0.0.1", "localhost", "[::1]")


def is_direct(headers: Headers, port: int) -> bool:
    """Whether the request names this very server and no web page stands behind it."""
    return (
        _only(headers("Host")) in {f"{host}:{port}" for host in _HOSTS}
        and not headers("Origin")
        and all(site == "none" for site in headers("Sec-Fetch-Site"))
    )


def has_token(headers: Headers, token: str) -> bool:
    """Whether the request carries the bearer token. Compares in constant time."""
    scheme, _, credentials = (_only(headers("Authorization")) or "").partition(" ")
    return scheme.lower() == "bearer" and hmac.compare_digest(_bytes(credentials), _bytes(token))


def _only(values: Sequence[str]) -> str | None:
    return values[0] if len(values) == 1 else None


def _bytes(text: str) -> bytes:
    return text.encode(errors="surrogateescape")
