"""What the relay's core needs from outside; adapters implement these.

Both ports never block and never raise in the caller: a networked adapter queues behind
them. What crosses the bus is an ``Envelope``, which encodes to bytes as it is.
"""

from collections.abc import Callable
from typing import Protocol

from host.protocol.envelope import Envelope

Sink = Callable[[Envelope], None]
Unsubscribe = Callable[[], None]


class Bus(Protocol):
    """Publish and subscribe by subject. A sink is called in order of publication; it must not raise."""

    def publish(self, subject: str, envelope: Envelope) -> None: ...

    def subscribe(self, subject: str, sink: Sink) -> Unsubscribe: ...


class Presence(Protocol):
    """Which machines are connected now, and by which connection."""

    def connect(self, user_id: str, machine_key: str, connection_id: str) -> None:
        """The newest connection of a machine counts."""

    def disconnect(self, user_id: str, machine_key: str, connection_id: str) -> bool:
        """Return whether this connection was the one that counted."""

    def is_connected(self, user_id: str, machine_key: str) -> bool: ...
