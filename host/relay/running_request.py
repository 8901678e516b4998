"""A request under way: everyone who waits for it, and the way of its events and its answer."""

from typing import Protocol

from msgspec.structs import replace

from host.protocol.envelope import Envelope, encode_envelope
from host.protocol.errors import InvalidRequest
from host.protocol.messages.base import Event, encode_payload


class Answers(Protocol):
    """Where answers go: the outbox."""

    def offer(self, frame: bytes) -> bool:
        """Queue at once, or not at all."""

    async def put(self, frame: bytes, *, keep: bool = False) -> bool:
        """Queue when there is room; with ``keep`` also while there is no link."""


class RunningRequest:
    """Handlers see ``emit`` alone."""

    def __init__(self, request: Envelope, outbox: Answers, digest: bytes = b"") -> None:
        self._request_id = request.request_id
        self._session_id = request.session_id
        self._outbox = outbox
        self._digest = digest
        self._askers = [request.reply_to]
        self._after_answer: list[Event] = []

    def join(self, again: Envelope, digest: bytes) -> None:
        """Somebody sent the same request. Raises InvalidRequest when it is another one under the same id."""
        if digest != self._digest:
            raise InvalidRequest.of_field("requestId", "It was used for another request. Choose a new one.")
        if again.reply_to not in self._askers:
            self._askers.append(again.reply_to)

    def emit(self, event: Event, *, after_answer: bool = False) -> None:
        """See host.core.requests.Emit."""
        if after_answer:
            self._after_answer.append(event)
        else:
            self._outbox.offer(self._to_all(_enveloped(event)))

    async def answer(self, answer: Envelope, *, is_first: bool = True) -> None:
        """Send the terminal message to each asker, once. A repeated one (not ``is_first``) goes to nobody else."""
        numbered = replace(answer, request_id=self._request_id)
        if is_event(answer) and is_first:
            # It is an event for those who joined, and one frame, so that each connection gets it once.
            await self._outbox.put(self._to_all(numbered), keep=True)
        else:
            # Without a project the relay passes an event to nobody but the asker.
            session_id = None if is_event(answer) else self._session_id
            for asker in self._askers:
                await self._outbox.put(encode_envelope(replace(numbered, session_id=session_id, reply_to=asker)))
        for event in self._after_answer:
            # With the request's id: the askers have their answer, so the relay gives this to the others alone.
            self._outbox.offer(self._to_all(replace(_enveloped(event), request_id=self._request_id)))

    def _to_all(self, envelope: Envelope) -> bytes:
        reply_to = self._askers[0] if len(self._askers) == 1 else self._askers
        return encode_envelope(replace(envelope, session_id=self._session_id, reply_to=reply_to))


def is_event(answer: Envelope) -> bool:
    """Whether a terminal message is an event as well: ``command_exit``."""
    return answer.type != "error" and not answer.type.endswith("_response")


def _enveloped(event: Event) -> Envelope:
    return Envelope(event.wire_type, payload=encode_payload(event))
