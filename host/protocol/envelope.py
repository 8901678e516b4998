"""The outer frame of every message. Payloads stay raw bytes here: who only forwards never parses them."""

from typing import Any, Final

import msgspec

from host.protocol.errors import InvalidRequest, WireError
from host.protocol.limits import MAX_REQUEST_ID_CHARS

NO_PAYLOAD: Final = msgspec.Raw(b"{}")


class Sender(msgspec.Struct, frozen=True, rename="camel", omit_defaults=True):
    """Who asks, as the relay tells the daemon. Ours tells the ``device`` by its name, another may as ``{name}``."""

    connection_id: str
    device: Any = None

    @property
    def device_name(self) -> str | None:
        match self.device:
            case str(name) | {"name": str(name)}:
                return name
            case _:
                return None


class Envelope(msgspec.Struct, frozen=True, omit_defaults=True):
    """One message. ``request_id`` is 1-128 printable ASCII characters; ``reply_to`` is opaque to the daemon.

    An event of a request that several connections wait for names them all in ``reply_to``,
    so that the relay can deliver it once to each and to those that joined.
    """

    type: str
    request_id: str | None = msgspec.field(default=None, name="requestId")
    session_id: str | None = msgspec.field(default=None, name="sessionId")
    machine_key: str | None = msgspec.field(default=None, name="machineKey")
    reply_to: Any = msgspec.field(default=None, name="replyTo")
    from_: Sender | None = msgspec.field(default=None, name="from")
    payload: msgspec.Raw = NO_PAYLOAD
    error: WireError | None = None


class NotAMessage(Exception):
    """The frame is no protocol message at all: binary, not JSON, or without a string ``type``."""

    def __init__(self, request_id: str | None = None) -> None:
        super().__init__("The frame is not a protocol message.")
        self.request_id = request_id


class InvalidEnvelope(InvalidRequest):
    """A message, but a member of its envelope is wrong."""

    def __init__(self, field: str, reason: str, request_id: str | None) -> None:
        super().__init__(f"The message's {field} is not valid. {reason}", errors=[{"field": field, "reason": reason}])
        self.request_id = request_id


class _Probe(msgspec.Struct, frozen=True):
    """What can still be told of a frame whose envelope does not validate."""

    type: msgspec.Raw = msgspec.Raw(b"null")
    request_id: msgspec.Raw = msgspec.field(default=msgspec.Raw(b"null"), name="requestId")


_decoder: Final = msgspec.json.Decoder(Envelope)
_probe: Final = msgspec.json.Decoder(_Probe)
_encoder: Final = msgspec.json.Encoder()


def decode_envelope(frame: bytes) -> Envelope:
    """Decode a text frame.

    Raises NotAMessage for what is no message, InvalidEnvelope for a message whose
    envelope is wrong. Never anything else, however hostile the bytes are.
    """
    try:
        # The socket layers are told not to check UTF-8, so that ASCII frames cost no copy.
        if not frame.isascii():
            frame.decode()
        return _decoder.decode(frame)
    except msgspec.ValidationError as exc:
        raise _explain(frame, exc) from exc
    except (UnicodeDecodeError, RecursionError) as exc:
        raise NotAMessage from exc
    except msgspec.DecodeError as exc:
        raise _explain_unreadable(frame) from exc


def binary_frame(frame: bytes) -> NotAMessage:
    """The refusal of a binary frame, whatever it holds."""
    _, request_id = _probed(frame)
    return NotAMessage(request_id)


def encode_envelope(envelope: Envelope) -> bytes:
    """The frame's bytes: UTF-8 JSON, absent members left out."""
    return _encoder.encode(envelope)


def askers_of(envelope: Envelope) -> list[str]:
    """The connections that a daemon's message answers, where it is our relay that named them."""
    match envelope.reply_to:
        case str(asker):
            return [asker]
        case list(askers):
            return [asker for asker in askers if isinstance(asker, str)]
        case _:
            return []


def is_request_id(text: str) -> bool:
    """Whether ``text`` is 1-128 printable ASCII characters."""
    return 0 < len(text) <= MAX_REQUEST_ID_CHARS and text.isascii() and text.isprintable()


def _explain(frame: bytes, error: msgspec.ValidationError) -> NotAMessage | InvalidEnvelope:
    wire_type, request_id = _probed(frame)
    if wire_type is None:
        return NotAMessage(request_id)
    # msgspec names the place as "... - at `$.requestId`".
    _, _, place = str(error).partition("`$.")
    return InvalidEnvelope(place.rstrip("`") or "envelope", "It has the wrong type.", request_id)


def _explain_unreadable(frame: bytes) -> NotAMessage | InvalidEnvelope:
    wire_type, request_id = _probed(frame)
    if wire_type is None:
        return NotAMessage(request_id)
    return InvalidEnvelope("payload", "It holds a lone surrogate, which is not text.", request_id)


def _probed(frame: bytes) -> tuple[str | None, str | None]:
    """The type and the request id of a frame; None for one that is not there or not usable."""
    try:
        # Escapes of lone surrogates are JSON, though no text: JavaScript sends them, and waits for an answer.
        # Any other character does in their place.
        probe = _probe.decode(frame.replace(rb"\ud", rb"\uf").replace(rb"\uD", rb"\uf"))
        wire_type, request_id = _string(probe.type), _string(probe.request_id)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None, None
    return wire_type, request_id if request_id is not None and is_request_id(request_id) else None


def _string(raw: msgspec.Raw) -> str | None:
    value = msgspec.json.decode(raw)
    return value if isinstance(value, str) else None
