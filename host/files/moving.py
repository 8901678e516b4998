"""fs_move: an entry under another name or in another directory, at one stroke."""

import os
import unicodedata
from stat import S_ISDIR

from host.files.locks import StripedLocks, keys_of
from host.files.renaming import rename_to_free_name
from host.paths.door import Door, Place, missing_parent
from host.paths.durable import sync_directory
from host.paths.failures import NOT_EMPTY, telling
from host.paths.relative import RelativePath
from host.protocol.errors import Conflict, FileNotFound, InvalidRequest


def move(door: Door, source: RelativePath, to: RelativePath, *, overwrite: bool, locks: StripedLocks) -> None:
    """Make ``to`` what ``source`` was, durably; a link is moved itself, a directory with all that it holds.

    With ``overwrite`` a file takes the place of a file, a directory that of an empty one.
    Raises what ``Door.entries`` raises, FileNotFound for a missing source or parent,
    InvalidRequest for the root, a directory into itself, or a file over a directory and the
    reverse; Conflict for a target that is there; FileAccessFailed, also for a target on
    another file system. On any of them both are what they were.
    """
    for field, path in (("from", source), ("to", to)):
        if not path.parts:
            raise InvalidRequest.of_field(field, "It is the project's root, which stays where it is.")
    with door.entries({"from": source, "to": to}) as (old, new), telling(source.text, "from"):
        _refuse_missing(old, new)
        with locks.held(*keys_of(old), *keys_of(new)):
            status = old.status()
            if status is None:
                raise _missing(old)
            _refuse_itself(status, new)
            _rename(old, status, new, overwrite=overwrite)
        sync_directory(new.parent)
        sync_directory(old.parent)


def _refuse_missing(old: Place, new: Place) -> None:
    if old.lacks_parents:
        raise _missing(old)
    if new.lacks_parents:
        raise missing_parent(new.path)


def _missing(old: Place) -> FileNotFound:
    return FileNotFound(f"{old.path.text} does not exist. List its directory again.", path=old.path.text)


def _refuse_itself(status: os.stat_result, new: Place) -> None:
    if any(os.path.samestat(status, os.fstat(directory)) for directory in new.directories):
        raise InvalidRequest.of_field("to", "It lies in the directory that is to be moved.")


def _rename(old: Place, status: os.stat_result, new: Place, *, overwrite: bool) -> None:
    taken = new.status()
    if taken is not None and os.path.samestat(status, taken):
        _rename_to_itself(old, new, overwrite=overwrite)
    elif overwrite:
        if taken is not None:
            _refuse_other_kind(status, taken, new)
        _rename_over(old, new)
    else:
        try:
            rename_to_free_name(old.name, new.name, old.parent, new.parent)
        except FileExistsError as exc:
            raise _exists(new) from exc


def _rename_to_itself(old: Place, new: Place, *, overwrite: bool) -> None:
    """Both names are of one file. The system's rename would leave them both, whatever they are."""
    if _is_other_spelling(old, new):
        os.rename(old.name, new.name, src_dir_fd=old.parent, dst_dir_fd=new.parent)
    elif not overwrite:
        raise _exists(new)
    elif not _is_same_entry(old, new):
        os.unlink(old.name, dir_fd=old.parent)


def _is_same_entry(old: Place, new: Place) -> bool:
    return old.name == new.name and os.path.samestat(os.fstat(old.parent), os.fstat(new.parent))


def _is_other_spelling(old: Place, new: Place) -> bool:
    """Whether the file system takes two different names for one, as those do to which case doesn't matter."""
    if old.name == new.name or _folded(old.name) != _folded(new.name):
        return False
    # As a hard link would be, the new name is listed.
    directory = os.open(".", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=new.parent)
    try:
        with os.scandir(directory) as entries:
            return all(os.fsencode(entry.name) != new.name for entry in entries)
    finally:
        os.close(directory)


def _folded(name: bytes) -> str:
    return unicodedata.normalize("NFKC", os.fsdecode(name)).casefold()


def _refuse_other_kind(status: os.stat_result, taken: os.stat_result, new: Place) -> None:
    if S_ISDIR(status.st_mode) and not S_ISDIR(taken.st_mode):
        raise InvalidRequest.of_field("to", f"{new.path.text} is no directory, so that no directory can replace it.")
    if S_ISDIR(taken.st_mode) and not S_ISDIR(status.st_mode):
        raise InvalidRequest.of_field("to", f"{new.path.text} is a directory, which only a directory can replace.")


def _rename_over(old: Place, new: Place) -> None:
    try:
        os.rename(old.name, new.name, src_dir_fd=old.parent, dst_dir_fd=new.parent)
    except OSError as exc:
        if exc.errno not in NOT_EMPTY:
            raise
        path = new.path.text
        raise Conflict(f"{path} is a directory that is not empty. Delete it or move it away first.", path=path) from exc


def _exists(new: Place) -> Conflict:
    path = new.path.text
    return Conflict(f"{path} exists already. Send overwrite to replace it, or choose another name.", path=path)
