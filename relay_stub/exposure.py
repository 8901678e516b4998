"""Whether the relay may be reached as it is set up: never without encryption, never without a secret."""

import re
from typing import Final
from urllib.parse import urlsplit

from relay_stub.addresses import is_loopback
from relay_stub.config import IdentityName, RelayConfig
from relay_stub.oauth.identity.port import ProviderUnusable

_USUAL_PORTS: Final = {"http": 80, "https": 443}


class UnsafeSetup(Exception):
    """The relay would be open to others. The message is a full sentence for whoever runs the relay."""


def is_exposed(config: RelayConfig) -> bool:
    """Whether other machines reach the relay, themselves or through a proxy."""
    return not is_loopback(config.host) or config.trusted_proxies > 0


def chosen_identity(config: RelayConfig) -> IdentityName:
    """What was set, else ``dev`` on this machine alone and ``passcode`` everywhere else."""
    return config.identity or ("passcode" if is_exposed(config) else "dev")


def refuse_unsafe(config: RelayConfig) -> None:
    """Raises UnsafeSetup or ProviderUnusable."""
    if chosen_identity(config) == "dev" and is_exposed(config):
        raise ProviderUnusable(
            "The identity provider dev asks for no secret, so it works only on a loopback address and without "
            f"--trust-proxy, not on {config.host!r} as you set it up. Choose passcode or github with --identity."
        )
    is_encrypted = config.tls is not None or config.trusted_proxies > 0 or config.insecure
    if is_exposed(config) and not is_encrypted:
        raise UnsafeSetup(
            f"Listening on {config.host} without TLS would send passcodes, tokens and files in clear. "
            "Give --tls-cert and --tls-key, or put a proxy with TLS before the relay and say --trust-proxy 1, "
            "or say --insecure if the network itself is encrypted."
        )
    _check_public_url(config.public_url)


def _check_public_url(url: str | None) -> None:
    """It is compared with what browsers say, so it has to be written as they write it."""
    if url is not None and url != (origin := _origin(url)):
        raise UnsafeSetup(
            f"{url!r} is no public address of a relay. Write it as {origin or 'https://relay.example'}, "
            "as browsers do: in small letters, without a path, and without the port if it is the usual one."
        )


def _origin(url: str) -> str | None:
    """The origin of a URL (RFC 6454, section 6.2); None for what is none."""
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError:
        return None
    if parts.scheme not in _USUAL_PORTS or not host or not re.fullmatch(r"[a-z0-9_.:-]+", host):
        return None
    place = f"[{host}]" if ":" in host else host
    return f"{parts.scheme}://{place}" + (f":{port}" if port not in (None, _USUAL_PORTS[parts.scheme]) else "")
