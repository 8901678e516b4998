"""Files that git does not know yet, as a diff that adds them."""

import os
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from stat import S_ISLNK, S_ISREG
from typing import Final

from host.git.parsing.hunks import added_hunk
from host.git.paths import shown_path
from host.paths.door import Door, Place
from host.paths.relative import RelativePath
from host.protocol.errors import ProtocolError
from host.protocol.messages.git import DiffFile

_READ: Final = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
# Where git itself looks for a NUL, which makes a file binary.
_LOOKED_AT_BYTES: Final = 8000


@dataclass
class AddedFiles:
    """Makes the diffs of at most ``left_files`` files and ``left_bytes`` of their contents."""

    left_files: int
    left_bytes: int
    truncated: bool = False

    def read(self, door: Door, names: Iterable[bytes]) -> list[DiffFile]:
        """Of what is neither a file nor a link, is gone or can't be read, there is no diff."""
        files = []
        for name in names:
            if not self.left_files:
                self.truncated = True
                break
            with suppress(ProtocolError, OSError):
                files.append(self._file(door, name))
                self.left_files -= 1
        return files

    def _file(self, door: Door, name: bytes) -> DiffFile:
        path = RelativePath(shown_path(name), tuple(name.split(b"/")))
        with door.entries({"path": path}) as (place,):
            content = _content(place, self.left_bytes + 1)
        file = DiffFile(path=path.text, status="added", binary=b"\0" in content[:_LOOKED_AT_BYTES], hunks=[])
        if len(content) > self.left_bytes:
            self.truncated = True
        elif content and not file.binary:
            self.left_bytes -= len(content)
            file.hunks.append(added_hunk(content))
        return file


def _content(place: Place, max_bytes: int) -> bytes:
    status = place.status()
    if status is not None and S_ISLNK(status.st_mode):
        return os.readlink(place.name, dir_fd=place.parent)
    if status is None or not S_ISREG(status.st_mode):
        raise FileNotFoundError
    descriptor = os.open(place.name, _READ, dir_fd=place.parent)
    with os.fdopen(descriptor, "rb") as file:
        if not S_ISREG(os.fstat(descriptor).st_mode):
            raise FileNotFoundError
        return file.read(max_bytes)
