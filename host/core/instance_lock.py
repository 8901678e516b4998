"""Who is the daemon: whoever holds the lock on ``daemon.pid``, never whoever the file names.

The kernel drops the lock when its holder ends, however it ends, so a file left behind and a
process id used again mean nothing. Imported by ``pocketcoder status``: see host.core.home.
"""

import contextlib
import os
import time
from collections.abc import Callable
from pathlib import Path

from host.core.errors import ForPeople

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

_ATTEMPTS = 20
_ATTEMPT_WAIT_S = 0.005
_MAX_PID_BYTES = 32


class AlreadyRunning(ForPeople):
    """Someone else holds the lock. ``pid`` is theirs, or None in the instant before they have written it."""

    def __init__(self, pid: int | None) -> None:
        who = f" (process {pid})" if pid is not None else ""
        super().__init__(f"PocketCoder's daemon is already running{who}. Stop it with: pocketcoder stop")
        self.pid = pid


class LockUnavailable(ForPeople):
    """No such locks here, or no telling whose. The message is a sentence for a person."""


class InstanceLock:
    """The lock, held from ``acquire`` to ``release`` or the end of the process; not inherited by programs it starts."""

    def __init__(self, path: Path, descriptor: int) -> None:
        self._path = path
        self._descriptor: int | None = descriptor

    @classmethod
    def acquire(cls, path: Path, *, sleep: Callable[[float], None] = time.sleep) -> "InstanceLock":
        """Take the lock and write this process's id into the file, 0600.

        Raises AlreadyRunning after at most 0.1 s, LockUnavailable, or OSError where the file can't be made.
        """
        _require_locks()
        pid = None
        for _ in range(_ATTEMPTS):
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
            try:
                if _try_lock(descriptor, exclusive=True) and _is_at(path, descriptor):
                    _write_pid(descriptor)
                    return cls(path, descriptor)
                pid = _read_pid(descriptor)
            except BaseException:
                os.close(descriptor)
                raise
            os.close(descriptor)
            # ``holder`` takes a shared lock for some microseconds; that must not turn a daemon away.
            sleep(_ATTEMPT_WAIT_S)
        raise AlreadyRunning(pid)

    def release(self) -> None:
        """Remove the file and give the lock up. Doing it again does nothing."""
        descriptor, self._descriptor = self._descriptor, None
        if descriptor is None:
            return
        # Removed while still locked: who waits for the lock then finds that its file is gone, and begins anew.
        if _is_at(self._path, descriptor):
            self._path.unlink(missing_ok=True)
        os.close(descriptor)


def holder(path: Path, *, sleep: Callable[[float], None] = time.sleep) -> int | None:
    """The process id of who holds the lock now, None if nobody does. Waits at most 0.1 s.

    Raises LockUnavailable, also when somebody holds it but the file names no process, or OSError
    where the file is there but can't be read.
    """
    _require_locks()
    for _ in range(_ATTEMPTS):
        try:
            descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
        except (FileNotFoundError, NotADirectoryError):
            return None
        try:
            if _try_lock(descriptor, exclusive=False):
                return None
            pid = _read_pid(descriptor)
        finally:
            os.close(descriptor)
        if pid is not None:
            return pid
        sleep(_ATTEMPT_WAIT_S)  # locked a moment ago, its id not yet written
    raise LockUnavailable(
        f"PocketCoder's daemon runs, but {path} does not name its process. Try again in a moment; if the file was "
        "overwritten, end that process (python -m host.cli.background), then run: pocketcoder start"
    )


def _require_locks() -> None:
    if fcntl is None:
        raise LockUnavailable("PocketCoder's daemon does not run on this system yet: it needs a Unix file lock.")


def _try_lock(descriptor: int, *, exclusive: bool) -> bool:
    try:
        fcntl.flock(descriptor, (fcntl.LOCK_EX if exclusive else fcntl.LOCK_SH) | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError as exc:
        raise LockUnavailable(
            "The file system of PocketCoder's directory has no file locks. Set POCKETCODER_HOME to a directory "
            "on a local disk."
        ) from exc
    return True


def _is_at(path: Path, descriptor: int) -> bool:
    """Whether the path still names the file that was opened; a former holder may have removed it meanwhile."""
    with contextlib.suppress(FileNotFoundError):
        return os.path.samestat(path.stat(), os.fstat(descriptor))
    return False


def _write_pid(descriptor: int) -> None:
    os.ftruncate(descriptor, 0)
    os.pwrite(descriptor, b"%d\n" % os.getpid(), 0)
    os.fchmod(descriptor, 0o600)


def _read_pid(descriptor: int) -> int | None:
    text = os.pread(descriptor, _MAX_PID_BYTES, 0)
    return int(text) if text.endswith(b"\n") and text[:-1].isdigit() else None
