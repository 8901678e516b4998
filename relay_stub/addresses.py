"""Who is at the other end: addresses, through proxies, and what counts as one of them."""

from collections.abc import Sequence
from ipaddress import IPv6Address, IPv6Network, ip_address

UNKNOWN = "unknown"
# What one household or one server is given, so that nobody has 2^64 tries.
_IPV6_PREFIX_BITS = 64


def client_address(peer: str | None, forwarded_for: Sequence[str], *, trusted_proxies: int) -> str:
    """The address that the outermost of our own proxies saw, in its shortest form.

    ``forwarded_for`` are the values of X-Forwarded-For, in order. Each proxy adds who it got the
    request from at the end, so that ``trusted_proxies`` entries from the end are believed and what
    stands before them, which anybody can send, is not. ``UNKNOWN`` for what is no address.
    """
    claimed = [entry.strip() for value in forwarded_for for entry in value.split(",")]
    believed = claimed[len(claimed) - trusted_proxies :] if trusted_proxies < len(claimed) else claimed
    return _canonical(believed[0] if trusted_proxies and believed else peer or "")


def network_of(address: str) -> str:
    """What is counted as one visitor: an IPv4 address, or the /64 of an IPv6 address."""
    try:
        parsed = ip_address(address)
    except ValueError:
        return UNKNOWN
    if isinstance(parsed, IPv6Address):
        return str(IPv6Network((parsed, _IPV6_PREFIX_BITS), strict=False))
    return str(parsed)


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches a host of this name or address."""
    if host == "localhost":
        return True
    try:
        return ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def _canonical(text: str) -> str:
    try:
        parsed = ip_address(text.partition("%")[0].strip("[]"))
    except ValueError:
        return UNKNOWN
    if isinstance(parsed, IPv6Address) and parsed.ipv4_mapped:
        return str(parsed.ipv4_mapped)
    return str(parsed)
