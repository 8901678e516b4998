"""Why a watch does not tell everything at once, in sentences for a person."""

import errno
from pathlib import Path
from typing import Final

from host.paths.relative import shown

_LIMITS: Final = Path("/proc/sys/fs/inotify")
_ENOUGH_WATCHES: Final = 524_288
_ENOUGH_INSTANCES: Final = 1_024
_LOOKED_FOR: Final = "Until then changes are only looked for from time to time."


def root_gone(root: Path) -> str:
    return (
        f"The project's directory {shown(str(root))} is not there. "
        "Put it back, or remove the project on its machine with: pocketcoder remove"
    )


def root_refused(root: Path, error: OSError) -> str:
    if error.errno in {errno.EACCES, errno.EPERM}:
        return (
            f"The user that runs the daemon may not read {shown(str(root))}, so its changes are not seen. "
            "Change its permissions on the machine."
        )
    return (
        f"{shown(str(root))} can't be read, so its changes are not seen. Look at the machine's disk and system log; "
        "it is tried again from time to time."
    )


def unforeseen(root: Path) -> str:
    return (
        f"Watching {shown(str(root))} failed, so its changes are not seen. It is tried again within a minute; "
        "if this stays, look into the daemon's log on the machine: pocketcoder logs"
    )


def too_large(root: Path, max_entries: int) -> str:
    return (
        f"{shown(str(root))} has more than {max_entries:,} files, so its changes are not seen. "
        "Name what need not be watched in its .gitignore, or register a directory below it. "
        "It is tried again from time to time; at once if you restart the daemon."
    )


def shared(root: Path, file_system: str) -> str:
    return (
        f"{shown(str(root))} lies on a file system ({file_system}) that does not tell of changes made on other "
        "machines. Those are looked for from time to time."
    )


def no_more_watches() -> str:
    return _raise_limit("max_user_watches", "the directories that one user's programs may watch", _ENOUGH_WATCHES)


def no_instance(error: OSError) -> str:
    if error.errno == errno.EMFILE:
        return _raise_limit("max_user_instances", "the programs of one user that may watch files", _ENOUGH_INSTANCES)
    return f"The system does not let files be watched ({error.strerror}). {_LOOKED_FOR}"


def _raise_limit(name: str, of_what: str, enough: int) -> str:
    setting = f"fs.inotify.{name}={max(enough, 2 * _limit(name))}"
    return (
        f"This machine's limit of {of_what} is reached. Raise it with: sudo sysctl {setting} "
        f"To keep it so: echo {setting} | sudo tee /etc/sysctl.d/60-pocketcoder.conf {_LOOKED_FOR}"
    )


def _limit(name: str) -> int:
    try:
        return int((_LIMITS / name).read_text())
    except (OSError, ValueError):
        return 0
