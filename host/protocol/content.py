"""A file's content on the wire: a string, as text or as base64."""

import binascii

import msgspec

from host.protocol.errors import InvalidRequest
from host.protocol.limits import MAX_TEXT_JSON_BYTES
from host.protocol.messages.files import Encoding


def encode_content(content: bytes) -> tuple[msgspec.Raw, Encoding]:
    """The JSON string to send, and its encoding: base64 for what is no text, or too long as JSON text."""
    if b"\0" not in content:
        text = _json_text(content)
        if text is not None and len(text) <= MAX_TEXT_JSON_BYTES:
            return msgspec.Raw(text), "utf-8"
    return msgspec.Raw(b'"%b"' % binascii.b2a_base64(content, newline=False)), "base64"


def decode_content(content: str, encoding: Encoding) -> bytes:
    """What is to be written. Raises InvalidRequest for lone surrogates, or base64 that is not strict."""
    try:
        if encoding == "base64":
            return binascii.a2b_base64(content, strict_mode=True)
        return content.encode()
    except ValueError as exc:
        reason = "It is not valid base64." if encoding == "base64" else "It holds a lone surrogate, which is not text."
        raise InvalidRequest.of_field("content", reason) from exc


def _json_text(content: bytes) -> bytes | None:
    try:
        return msgspec.json.encode(content.decode())
    except UnicodeDecodeError:
        return None
