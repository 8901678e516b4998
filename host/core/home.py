"""The directory that holds everything of the host, private to its user.

``pocketcoder status`` imports this module on its way, so it imports next to nothing:
``dataclasses`` and ``typing`` alone would cost as much as the interpreter's own start.
"""

import contextlib
import os
import stat
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

from host.core.errors import ForPeople

PRIVATE_DIRECTORY = 0o700
PRIVATE_FILE = 0o600
LEFTOVER_AGE_S = 60.0


class HomeError(ForPeople):
    """The home can't be used. The message is a sentence for a person."""


class HostPaths:
    """Where everything of the host lives; absolute, nothing need exist yet."""

    __slots__ = ("_home",)

    def __init__(self, home: Path) -> None:
        self._home = home

    @property
    def home(self) -> Path:
        return self._home

    @property
    def database(self) -> Path:
        return self._home / "daemon.db"

    @property
    def auth_file(self) -> Path:
        return self._home / "auth.json"

    @property
    def config_file(self) -> Path:
        return self._home / "config.toml"

    @property
    def control_token(self) -> Path:
        return self._home / "control.token"

    @property
    def machine_label(self) -> Path:
        return self._home / "machine-label.txt"

    @property
    def pid_file(self) -> Path:
        return self._home / "daemon.pid"

    @property
    def logs_dir(self) -> Path:
        return self._home / "logs"

    @property
    def log_file(self) -> Path:
        return self.logs_dir / "daemon.log"


def find_paths(environ: Mapping[str, str]) -> HostPaths:
    """``POCKETCODER_HOME``, or the user's configuration directory. Touches no file.

    Raises HomeError for a ``POCKETCODER_HOME`` that is empty or relative, and when the user has no home directory.
    """
    chosen = environ.get("POCKETCODER_HOME")
    if chosen is None:
        return HostPaths(_default_home(environ))
    if not os.path.isabs(chosen) or "\0" in chosen:
        raise HomeError(
            f"POCKETCODER_HOME is {chosen!r}, which is not an absolute path. "
            "Set it to one that begins with /, or unset it."
        )
    return HostPaths(Path(chosen))


def prepare_home(paths: HostPaths) -> list[str]:
    """Make the directories, and make them and our files private whatever the umask is.

    Returns a sentence for each thing that other users could reach until now. Raises HomeError
    for what is not a directory, belongs to another user or can't be made.
    """
    warnings: list[str] = []
    try:
        for directory in (paths.home, paths.logs_dir):
            warnings += _prepare_directory(directory)
        for file in _our_files(paths):
            warnings += _make_file_private(file)
        _remove_leftovers(paths.home)
    except OSError as exc:
        raise HomeError(
            f"The directory {paths.home} could not be prepared. Check that its disk has space and that you may write "
            "there, or set POCKETCODER_HOME to another directory."
        ) from exc
    return warnings


def write_private(path: Path, data: bytes) -> None:
    """Replace a file's content atomically and durably, with mode 0600 whatever the umask is.

    A reader sees the old content or the new; a symbolic link at ``path`` is replaced, not
    followed. Raises OSError, and then the old content stands and nothing is left behind.
    """
    temporary = path.with_name(f".{path.name}.{os.urandom(8).hex()}.tmp")
    try:
        _write_durably(temporary, data)
        os.replace(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    _sync_directory(path.parent)


def _default_home(environ: Mapping[str, str]) -> Path:
    if sys.platform == "linux" and not environ.get("XDG_CONFIG_HOME"):
        # What platformdirs answers as well, without the 25 ms that importing it takes.
        home = os.path.expanduser("~/.config/pocketcoder")
    else:
        import platformdirs  # noqa: PLC0415 - see above

        home = platformdirs.user_config_dir("pocketcoder", appauthor=False, roaming=True)
    if not os.path.isabs(home):
        raise HomeError("Your user has no home directory. Set POCKETCODER_HOME to an absolute path.")
    return Path(home)


def _prepare_directory(directory: Path) -> list[str]:
    directory.parent.mkdir(parents=True, exist_ok=True)
    try:
        directory.mkdir(PRIVATE_DIRECTORY)
    except FileExistsError:
        return _mend_directory(directory)
    directory.chmod(PRIVATE_DIRECTORY)
    return []


def _mend_directory(directory: Path) -> list[str]:
    # stat, not lstat: a link to a directory of one's own is fine.
    try:
        found = directory.stat()
    except FileNotFoundError as exc:
        raise HomeError(f"{directory} is a link that leads nowhere. Remove it, or make its target.") from exc
    if not stat.S_ISDIR(found.st_mode):
        raise HomeError(f"{directory} is not a directory. Move it away, or set POCKETCODER_HOME to another directory.")
    _require_own(directory, found)
    if not _is_wrong(found, PRIVATE_DIRECTORY):
        return []
    directory.chmod(PRIVATE_DIRECTORY)
    return [_mended(f"The directory {directory}", found, PRIVATE_DIRECTORY)]


def _our_files(paths: HostPaths) -> Iterator[Path]:
    yield from (paths.auth_file, paths.control_token, paths.machine_label, paths.pid_file)
    yield from (paths.database.with_name(paths.database.name + suffix) for suffix in ("", "-wal", "-shm"))
    yield from sorted(paths.logs_dir.glob(paths.log_file.name + "*"))


def _make_file_private(file: Path) -> list[str]:
    try:
        found = file.lstat()
    except FileNotFoundError:
        return []
    _require_own(file, found)
    if not stat.S_ISREG(found.st_mode) or not _is_wrong(found, PRIVATE_FILE):
        return []
    file.chmod(PRIVATE_FILE)
    return [_mended(f"The file {file}", found, PRIVATE_FILE)]


def _remove_leftovers(home: Path) -> None:
    """What a killed ``write_private`` left; a younger one may still be at work."""
    for leftover in home.glob(".*.tmp"):
        with contextlib.suppress(FileNotFoundError):
            if time.time() - leftover.lstat().st_mtime > LEFTOVER_AGE_S:
                leftover.unlink()


def _require_own(path: Path, found: os.stat_result) -> None:
    if sys.platform != "win32" and found.st_uid != os.geteuid():
        raise HomeError(
            f"{path} belongs to another user. Run pocketcoder as that user and without sudo, "
            "give it back with chown, or set POCKETCODER_HOME to another directory."
        )


def _is_wrong(found: os.stat_result, mode: int) -> bool:
    return sys.platform != "win32" and stat.S_IMODE(found.st_mode) != mode


def _mended(what: str, found: os.stat_result, mode: int) -> str:
    return f"{what} had mode {stat.S_IMODE(found.st_mode):04o}; it was changed to {mode:04o}."


def _write_durably(path: Path, data: bytes) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, PRIVATE_FILE)
    with open(descriptor, "wb") as file:
        path.chmod(PRIVATE_FILE)
        file.write(data)
        file.flush()
        os.fsync(descriptor)


def _sync_directory(directory: Path) -> None:
    if sys.platform == "win32":
        return
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
