"""The way of events that nobody asked for."""

from host.protocol.envelope import Envelope, encode_envelope
from host.protocol.messages.base import Event, encode_payload
from host.relay.outbox import Outbox


class Publisher:
    """Implements host.core.publishing.Publish."""

    def __init__(self, outbox: Outbox) -> None:
        self._outbox = outbox

    def __call__(self, project_id: str, event: Event) -> bool:
        return self._outbox.offer(
            encode_envelope(Envelope(event.wire_type, session_id=project_id, payload=encode_payload(event)))
        )
