"""Whether the relay may be reached as it is set up: never without encryption, never without a secret."""

from urllib.parse import urlsplit

from relay_stub.addresses import is_loopback
from relay_stub.config import IdentityName, RelayConfig
from relay_stub.oauth.identity.port import ProviderUnusable


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
    if url is None:
        return
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname or url != f"{parts.scheme}://{parts.netloc}":
        raise UnsafeSetup(f"{url!r} is no public address of a relay. Write it as https://relay.example.")
