"""Bytes of a file, from the disk."""

import os
from typing import Final

from host.protocol.limits import KIB

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
