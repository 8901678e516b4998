"""fs_create_dir: a directory, with those above it."""

from stat import S_ISDIR

from host.paths.door import Door, Place
from host.paths.relative import RelativePath
from host.protocol.errors import Conflict


def create_directory(door: Door, path: RelativePath, *, umask: int) -> None:
    """Make the directory ``path`` and those above it, durably, with mode 0777 less ``umask``.

    One that is there already is what was asked for. Raises what ``Door.place`` raises, then
    FileNotFound where a file is in the way, Conflict where ``path`` itself is something
    else, FileAccessFailed.
    """
    with door.place(path) as place:
        if _is_there(place):
            return
        try:
            place.make_directory(umask)
        except NotADirectoryError:
            # Something appeared where a directory was to be made.
            if not _is_there(place):
                raise


def _is_there(place: Place) -> bool:
    status = place.status()
    if status is not None and not S_ISDIR(status.st_mode):
        path = place.path.text
        raise Conflict(f"{path} exists already and is no directory. Choose another name.", path=path)
    return status is not None
