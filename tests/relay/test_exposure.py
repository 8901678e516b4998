"""What may be listened on how."""

from dataclasses import replace
from pathlib import Path

import pytest

from relay_stub.config import RelayConfig
from relay_stub.exposure import UnsafeSetup, chosen_identity, is_exposed, refuse_unsafe
from relay_stub.oauth.identity.port import ProviderUnusable
from relay_stub.tls import TlsFiles

LOCAL = RelayConfig(Path("data"))
TLS = TlsFiles(Path("cert.pem"), Path("key.pem"))


@pytest.mark.parametrize("host", ["127.0.0.1", "127.0.0.2", "::1", "[::1]", "localhost"])
def test_on_this_machine_alone_dev_is_the_default_and_nothing_more_is_needed(host: str) -> None:
    config = replace(LOCAL, host=host)
    assert chosen_identity(config) == "dev"
    refuse_unsafe(config)


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "", "192.168.1.5", "relay.example", "127.0.0.1.example"])
def test_beyond_it_the_passcode_is_the_default_and_encryption_is_needed(host: str) -> None:
    config = replace(LOCAL, host=host)
    assert is_exposed(config)
    assert chosen_identity(config) == "passcode"
    with pytest.raises(UnsafeSetup, match=r"--tls-cert.*--trust-proxy.*--insecure"):
        refuse_unsafe(config)
    for safe in (replace(config, tls=TLS), replace(config, trusted_proxies=1), replace(config, insecure=True)):
        refuse_unsafe(safe)


def test_behind_a_proxy_a_loopback_address_is_reached_by_others_too() -> None:
    config = replace(LOCAL, trusted_proxies=1)
    assert chosen_identity(config) == "passcode"
    refuse_unsafe(config)


@pytest.mark.parametrize(
    "config", [replace(LOCAL, trusted_proxies=1), replace(LOCAL, host="0.0.0.0", tls=TLS, insecure=True)]
)
def test_dev_is_never_for_others(config: RelayConfig) -> None:
    with pytest.raises(ProviderUnusable, match="works only on a loopback address"):
        refuse_unsafe(replace(config, identity="dev"))


@pytest.mark.parametrize(
    "url", ["https://relay.example", "https://relay.example:8443", "http://192.168.1.5:8787", "https://[::1]:8443"]
)
def test_a_public_address_is_an_origin(url: str) -> None:
    refuse_unsafe(replace(LOCAL, public_url=url))


@pytest.mark.parametrize(
    "url", ["relay.example", "https://relay.example/", "https://relay.example/x", "wss://relay.example", "https://", ""]
)
def test_anything_else_is_refused(url: str) -> None:
    with pytest.raises(UnsafeSetup, match="is no public address"):
        refuse_unsafe(replace(LOCAL, public_url=url))


@pytest.mark.parametrize(
    ("url", "origin"),
    [
        ("https://Relay.Example", "https://relay.example"),
        ("https://relay.example:443", "https://relay.example"),
        ("http://relay.example:80", "http://relay.example"),
        ("https://relay.example/", "https://relay.example"),
    ],
)
def test_a_public_address_is_written_as_browsers_write_it(url: str, origin: str) -> None:
    """Else the relay would not know its own pages again, and no phone could sign in."""
    with pytest.raises(UnsafeSetup, match=f"Write it as {origin}, as browsers do"):
        refuse_unsafe(replace(LOCAL, public_url=url))
