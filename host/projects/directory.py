"""From what a person named to the real path of a directory that can be a project."""

import os
import stat
from pathlib import Path

from host.projects.naming import shown_path
from host.protocol.errors import FileAccessFailed, FileNotFound, InvalidRequest
from host.protocol.limits import MAX_PATH_BYTES


def real_directory(path: Path) -> Path:
    """The real path of an absolute one, links resolved.

    Raises FileNotFound, FileAccessFailed, or InvalidRequest for what is no absolute path
    of a directory. Touches the file system.
    """
    try:
        os.fsencode(path)
        is_usable = path.is_absolute() and "\0" not in str(path)
    except UnicodeEncodeError:
        is_usable = False
    if not is_usable:
        raise InvalidRequest.of_field("path", "It must be an absolute path.")
    real_path = _resolve(path)
    # A longer one could not be registered at the relay, and all the others with it.
    if len(shown_path(real_path).encode()) > MAX_PATH_BYTES:
        raise InvalidRequest.of_field("path", f"It is longer than {MAX_PATH_BYTES} bytes.")
    return real_path


def refuse_too_wide(real_path: Path, user_home: Path) -> None:
    """Raises InvalidRequest for the user's home directory and what is around it: keys, mail, everything."""
    if real_path == user_home or real_path in user_home.parents:
        raise InvalidRequest(
            f"{shown_path(real_path)} holds everything of yours, not one project, and the phone could change all "
            "of it. Choose the directory of a project; if you mean it, say so with --force."
        )


def _resolve(path: Path) -> Path:
    try:
        real_path = Path(os.path.realpath(path, strict=True))
        mode = os.stat(real_path).st_mode
    except (FileNotFoundError, NotADirectoryError) as exc:
        raise FileNotFound(f"The directory {shown_path(path)} does not exist. Check the path.") from exc
    except OSError as exc:
        raise _closed(path) from exc
    if not stat.S_ISDIR(mode):
        raise InvalidRequest.of_field("path", f"{shown_path(path)} is not a directory.")
    if not os.access(real_path, os.R_OK | os.X_OK):
        raise _closed(path)
    return real_path


def _closed(path: Path) -> FileAccessFailed:
    return FileAccessFailed(
        f"The directory {shown_path(path)} cannot be looked at. Check its permissions, and those of the directories "
        "above."
    )
