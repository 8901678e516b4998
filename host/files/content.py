"""Bytes of a file, from the disk and to the wire and back."""

import binascii
import os
from typing import Final

import msgspec

from host.protocol.errors import InvalidRequest
from host.protocol.limits import KIB, MAX_TEXT_JSON_BYTES
from host.protocol.messages.files import Encoding

_CHUNK_BYTES: Final = 64 * KIB
# No file system holds a file this large; past it, offsets overflow in the kernel.
_MAX_OFFSET: Final = 2**62


def read_up_to(descriptor: int, offset: int, length: int) -> bytes:
    """The bytes from ``offset`` to the file's end, at most ``length``.

    Usually one read into one buffer; files that grow, or report no size, are read on.
    """
    if offset > _MAX_OFFSET:
        return b""
    # One byte more than there should be, so that the first read usually tells that it was the last.
    wanted = max(os.fstat(descriptor).st_size - offset + 1, _CHUNK_BYTES)
    chunks: list[bytes] = []
    while length > 0 and (chunk := os.pread(descriptor, min(length, wanted), offset)):
        chunks.append(chunk)
        offset += len(chunk)
        length -= len(chunk)
        wanted = _CHUNK_BYTES
    return chunks[0] if len(chunks) == 1 else b"".join(chunks)


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
