"""What strangers may make the relay keep and decode, before anybody has authenticated."""

from collections import Counter
from typing import Final

from host.protocol.limits import MIB
from relay_stub.addresses import network_of

# Two of the largest messages, or the registrations of a whole office at once.
MAX_BYTES_OF_NETWORK: Final = 64 * MIB
# To decode more takes the time of many; a hello with 500 projects is far below.
MAX_DECODED_BYTES: Final = 4 * MIB


class Strangers:
    """At most ``max_bytes`` of one IPv4 address or IPv6 /64, whatever number of connections they come by."""

    def __init__(self, max_bytes: int = MAX_BYTES_OF_NETWORK) -> None:
        self._max_bytes = max_bytes
        self._sent: Counter[str] = Counter()

    def account(self, address: str) -> "Account":
        """For a new connection from there."""
        return Account(self._sent, network_of(address), self._max_bytes)


class Account:
    """What one connection has sent; closed when it has authenticated, or is gone."""

    def __init__(self, sent: Counter[str], network: str, max_bytes: int) -> None:
        self._sent = sent
        self._network = network
        self._max_bytes = max_bytes
        self._own_bytes = 0
        self._is_open = True

    def takes(self, size_bytes: int) -> bool:
        """Whether so much more may come; always so once it is closed."""
        if not self._is_open:
            return True
        self._own_bytes += size_bytes
        self._sent[self._network] += size_bytes
        return self._sent[self._network] <= self._max_bytes

    def close(self) -> None:
        """Give back what the connection has taken. May be called again."""
        self._is_open = False
        self._sent[self._network] -= self._own_bytes
        self._own_bytes = 0
        if self._sent[self._network] == 0:
            del self._sent[self._network]
