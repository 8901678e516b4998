"""fs_read: a regular file's content, whole or a range of it."""

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Final

from host.files.content import read_up_to
from host.files.etags import StatEtags, content_etag, small_content
from host.files.times import modified_at
from host.paths.door import Door, OpenFile
from host.paths.relative import RelativePath
from host.protocol.content import encode_content
from host.protocol.errors import FileTooLarge
from host.protocol.limits import MAX_READ_BYTES, MIB
from host.protocol.messages.files import FsReadResponse

# Hashing leaves the interpreter to others, so what is large is hashed while it is encoded.
_LARGE_BYTES: Final = 1 * MIB
_hashers: Final = ThreadPoolExecutor(max_workers=2, thread_name_prefix="hash")


def read_file(
    door: Door, path: RelativePath, *, offset: int | None, length: int | None, stat_etags: StatEtags
) -> FsReadResponse:
    """Read bytes from ``offset`` on, at most ``length`` (≤ MAX_READ_BYTES); with neither, the whole file.

    Raises FileTooLarge for a whole file over MAX_READ_BYTES, and what ``Door.file`` raises.
    """
    is_whole = offset is None and length is None
    start, limit = offset or 0, MAX_READ_BYTES if length is None else length
    with door.file(path) as file:
        content = small_content(file.descriptor)
        if content is not None:
            return _response(path, file, content[start : start + limit], start, len(content), _hashing(content))
        if is_whole:
            raise FileTooLarge(
                f"{path.text} is larger than {MAX_READ_BYTES // MIB} MB. Read it in ranges, with offset and length.",
                path=path.text,
                size=file.status.st_size,
            )
        etag = stat_etags.of_open_file(file.descriptor)
        part = read_up_to(file.descriptor, start, limit)
        return _response(path, file, part, start, os.fstat(file.descriptor).st_size, lambda: etag)


def _response(
    path: RelativePath, file: OpenFile, part: bytes, start: int, size: int, etag: Callable[[], str]
) -> FsReadResponse:
    content, encoding = encode_content(part)
    return FsReadResponse(
        path=path.text,
        content=content,
        encoding=encoding,
        size=size,
        modified_at=modified_at(file.status.st_mtime_ns),
        etag=etag(),
        offset=start,
        eof=start + len(part) >= size,
    )


def _hashing(content: bytes) -> Callable[[], str]:
    """The etag, to be asked for when everything else is done."""
    if len(content) < _LARGE_BYTES:
        return partial(content_etag, content)
    return _hashers.submit(content_etag, content).result
