"""The file beside its target that a write puts the new content in, until it takes the target's place."""

import hashlib
import os
from typing import Final

from host.paths.door import Door
from host.paths.relative import RelativePath

_PREFIX: Final = ".pocketcoder-"
_SUFFIX: Final = ".tmp"
_DIGEST_CHARS: Final = 16


def temporary_name(user_id: str, request_id: str) -> str:
    """One name for one request, so that a write that was killed can be cleaned up after by its request alone."""
    digest = hashlib.sha256(f"{user_id}\0{request_id}".encode()).hexdigest()
    return f"{_PREFIX}{digest[:_DIGEST_CHARS]}{_SUFFIX}"


def remove_temporary(door: Door, path: RelativePath, temporary: str) -> None:
    """Remove what a killed write to ``path`` left, if it left anything. Raises as ``Door.place``, and FileNotFound."""
    with door.place(path) as place:
        if not place.lacks_parents:
            os.unlink(temporary, dir_fd=place.parent)
