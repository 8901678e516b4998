"""Bus of one relay process."""

from host.protocol.envelope import Envelope
from relay_stub.ports import Sink, Unsubscribe


class MemoryBus:
    def __init__(self) -> None:
        self._sinks: dict[str, dict[object, Sink]] = {}

    def publish(self, subject: str, envelope: Envelope) -> None:
        sinks = self._sinks.get(subject)
        if not sinks:
            return
        # A sink may unsubscribe while it is called.
        for sink in tuple(sinks.values()):
            sink(envelope)

    def subscribe(self, subject: str, sink: Sink) -> Unsubscribe:
        key = object()
        self._sinks.setdefault(subject, {})[key] = sink

        def unsubscribe() -> None:
            sinks = self._sinks.get(subject, {})
            sinks.pop(key, None)
            if not sinks:
                self._sinks.pop(subject, None)

        return unsubscribe
