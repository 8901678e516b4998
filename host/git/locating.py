"""A path that comes with a request, before git is asked about it."""

from contextlib import suppress

from host.paths.door import Door
from host.paths.relative import RelativePath, parse_path
from host.protocol.errors import FileAccessFailed, FileNotFound, InvalidRequest


def locate(door: Door, text: str, *, field: str = "path") -> RelativePath:
    """Parse a path of the wire, of which nothing needs to exist any more.

    Raises as ``parse_path``, and OutsideProjectRoot where links that are there now lead out of the project.
    """
    path = parse_path(text, field=field)
    with suppress(FileNotFound, FileAccessFailed, InvalidRequest), door.entries({field: path}):
        pass
    return path
