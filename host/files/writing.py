"""fs_write: a file's whole new content, atomically, if it is still what the writer has seen."""

import os
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from msgspec import UNSET, UnsetType

from host.files.etags import StatEtags, content_etag, file_etag
from host.files.locks import StripedLocks, keys_of
from host.files.storing import overwrite, refuse_unwritable, replace
from host.files.times import modified_at
from host.paths.door import Door, Place, missing_parent, refuse_irregular
from host.paths.relative import RelativePath
from host.protocol.errors import Conflict, FileTooLarge, InvalidRequest
from host.protocol.limits import MAX_WRITE_BYTES, MIB
from host.protocol.messages.files import FsWriteResponse

# An etag; None for "must not exist"; UNSET for no condition.
IfMatch = str | None | UnsetType


def process_umask() -> int:
    """This process's umask, on Linux without a moment in which it is another."""
    try:
        status = Path("/proc/self/status").read_text()
        return int(status.partition("\nUmask:")[2].split()[0], 8)
    except (OSError, IndexError):
        umask = os.umask(0o077)
        os.umask(umask)
        return umask


@dataclass(frozen=True)
class FileWriter:
    """Writes of this process to one file follow one another, so that no condition is checked in vain.

    ``umask`` is for new files and directories, whatever the process's own is by then.
    """

    stat_etags: StatEtags = field(default_factory=StatEtags)
    locks: StripedLocks = field(default_factory=StripedLocks)
    umask: int = field(default_factory=process_umask)

    def write(
        self,
        door: Door,
        path: RelativePath,
        content: bytes,
        *,
        temporary: str,
        if_match: IfMatch = UNSET,
        create_dirs: bool = False,
    ) -> FsWriteResponse:
        """Make ``content`` the whole content of ``path``, through links that stay in the root.

        Until then it is in a file named ``temporary`` in the same directory.

        Raises what ``Door.place`` raises, then InvalidRequest for what is no regular file,
        FileTooLarge over MAX_WRITE_BYTES, Conflict with ``details.etag`` (None: no file),
        FileAccessFailed. On any of them the old content stays.
        """
        with door.place(path) as place:
            if place.lacks_parents:
                self._make_parents(place, content, if_match, create_dirs=create_dirs)
            with self.locks.held(*keys_of(place)):
                old = place.status()
                if old is not None:
                    refuse_irregular(old, path.text)
                _refuse_large(path, content)
                self._refuse_stale(place, old, if_match)
                stored = self._store(place, old, content, temporary, must_be_free=if_match is None)
        return FsWriteResponse(
            path=path.text, size=len(content), modified_at=modified_at(stored.st_mtime_ns), etag=content_etag(content)
        )

    def _make_parents(self, place: Place, content: bytes, if_match: IfMatch, *, create_dirs: bool) -> None:
        if not create_dirs:
            raise missing_parent(place.path)
        # What will be refused must leave no directories behind.
        _refuse_large(place.path, content)
        self._refuse_stale(place, None, if_match)
        place.make_parents(self.umask)

    def _refuse_stale(self, place: Place, old: os.stat_result | None, if_match: IfMatch) -> None:
        if if_match is UNSET or (if_match is None and old is None):
            return
        current = None if old is None else self._etag(place)
        if current == if_match:
            return
        raise Conflict(_conflict_message(place.path.text, current, if_match), path=place.path.text, etag=current)

    def _etag(self, place: Place) -> str:
        descriptor = os.open(
            place.name, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=place.parent
        )
        try:
            refuse_irregular(os.fstat(descriptor), place.path.text)
            return file_etag(descriptor, self.stat_etags)
        finally:
            os.close(descriptor)

    def _store(
        self, place: Place, old: os.stat_result | None, content: bytes, temporary: str, *, must_be_free: bool
    ) -> os.stat_result:
        if old is not None:
            refuse_unwritable(place.parent, place.name)
            if old.st_nlink > 1:
                return overwrite(place.parent, place.name, content)
        try:
            return replace(
                place.parent,
                place.name,
                content,
                temporary=temporary,
                old=old,
                must_be_free=must_be_free,
                umask=self.umask,
            )
        except FileExistsError as exc:
            raise self._made_meanwhile(place) from exc

    def _made_meanwhile(self, place: Place) -> Conflict:
        """Another process made the file after we looked."""
        etag = None
        with suppress(OSError, InvalidRequest):
            etag = self._etag(place)
        path = place.path.text
        return Conflict(f"{path} has just been made by another program. Read it first.", path=path, etag=etag)


def _refuse_large(path: RelativePath, content: bytes) -> None:
    if len(content) > MAX_WRITE_BYTES:
        raise FileTooLarge(
            f"The content for {path.text} is larger than {MAX_WRITE_BYTES // MIB} MB, the most that a write may hold.",
            path=path.text,
        )


def _conflict_message(path: str, current: str | None, if_match: IfMatch) -> str:
    if current is None:
        return f"{path} does not exist any more. Send ifMatch null to create it anew."
    if if_match is None:
        return f"{path} exists already. Read it, then write with its etag."
    return f"{path} has changed since it was read. Read it again, then write with its new etag."
