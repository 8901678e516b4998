"""fs_delete: an entry, or a directory with all that it holds."""

import os
from collections.abc import Callable
from stat import S_ISDIR

from host.files.locks import StripedLocks, keys_of
from host.files.tree_removal import remove_tree
from host.paths.door import Door, Place
from host.paths.durable import sync_directory
from host.paths.failures import NOT_EMPTY, telling
from host.paths.relative import RelativePath
from host.protocol.errors import Conflict, FileNotFound, InvalidRequest


def _never() -> bool:
    return False


def delete(
    door: Door,
    path: RelativePath,
    *,
    recursive: bool,
    locks: StripedLocks,
    is_cancelled: Callable[[], bool] = _never,
) -> None:
    """Delete the entry ``path``, durably; a link itself, never what it leads to.

    ``is_cancelled`` is asked before each of many entries, and ends it between two of them.
    Raises what ``Door.entries`` raises, FileNotFound, InvalidRequest for the root, Conflict
    for a directory that is not empty unless ``recursive``, FileAccessFailed when nothing
    was deleted, and DeletedInPart.
    """
    if not path.parts:
        raise InvalidRequest.of_field("path", "It is the project's root, which is not deleted from afar.")
    with door.entries({"path": path}) as (place,), telling(path.text):
        # Not held while a directory is emptied: that takes its time, and no write is to a directory.
        with locks.held(*keys_of(place)):
            is_directory = S_ISDIR(_existing(place).st_mode)
            if not is_directory:
                os.unlink(place.name, dir_fd=place.parent)
        if is_directory:
            _delete_directory(place, recursive=recursive, is_cancelled=is_cancelled)
        sync_directory(place.parent)


def _existing(place: Place) -> os.stat_result:
    status = place.status()
    if status is None:
        path = place.path.text
        raise FileNotFound(f"{path} does not exist. List its directory again.", path=path)
    return status


def _delete_directory(place: Place, *, recursive: bool, is_cancelled: Callable[[], bool]) -> None:
    try:
        # Also tells a place where another file system is mounted, before anything in that is touched.
        os.rmdir(place.name, dir_fd=place.parent)
    except OSError as exc:
        if exc.errno not in NOT_EMPTY:
            raise
        if not recursive:
            path = place.path.text
            raise Conflict(f"{path} is not empty. Send recursive to delete it with its contents.", path=path) from exc
        remove_tree(place.parent, place.name, place.path, is_cancelled=is_cancelled)
