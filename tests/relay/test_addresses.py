import pytest

from relay_stub.addresses import UNKNOWN, client_address, network_of


@pytest.mark.parametrize(
    ("peer", "forwarded_for", "trusted_proxies", "address"),
    [
        ("192.0.2.1", [], 0, "192.0.2.1"),
        ("192.0.2.1", ["203.0.113.9"], 0, "192.0.2.1"),  # nobody is believed
        ("127.0.0.1", ["203.0.113.9"], 1, "203.0.113.9"),
        ("127.0.0.1", ["6.6.6.6, 203.0.113.9"], 1, "203.0.113.9"),  # what stands before is the client's own word
        ("127.0.0.1", ["6.6.6.6", "203.0.113.9"], 1, "203.0.113.9"),
        ("127.0.0.1", ["6.6.6.6, 203.0.113.9, 10.0.0.2"], 2, "203.0.113.9"),
        ("127.0.0.1", ["203.0.113.9"], 2, "203.0.113.9"),
        ("127.0.0.1", [], 1, "127.0.0.1"),
        ("127.0.0.1", ["rubbish"], 1, UNKNOWN),
        ("127.0.0.1", ["203.0.113.9,"], 1, UNKNOWN),
        ("::ffff:192.0.2.1", [], 0, "192.0.2.1"),
        ("2001:DB8::0:1", [], 0, "2001:db8::1"),
        ("fe80::1%eth0", [], 0, "fe80::1"),
        ("127.0.0.1", ["[2001:db8::1]"], 1, "2001:db8::1"),
        (None, [], 0, UNKNOWN),
    ],
)
def test_only_what_our_own_proxies_add_is_believed(
    peer: str | None, forwarded_for: list[str], trusted_proxies: int, address: str
) -> None:
    assert client_address(peer, forwarded_for, trusted_proxies=trusted_proxies) == address


def test_an_ipv6_visitor_is_its_network() -> None:
    assert network_of("2001:db8:1:2:3::4") == network_of("2001:db8:1:2:ffff::1")
    assert network_of("2001:db8:1:2:3::4") != network_of("2001:db8:1:3:3::4")
    assert network_of("192.0.2.1") != network_of("192.0.2.2")
    assert network_of(UNKNOWN) == network_of("") == UNKNOWN
