"""Starting the daemon as a process of its own, and hearing whether it got ready."""

import logging
import os
import select
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Final, NoReturn

from host.cli.exit_codes import DONE, FAILED
from host.core.errors import ForPeople, system_refusal
from host.core.home import PRIVATE_FILE, HostPaths, find_paths, prepare_home
from host.core.logging import configure_logging
from host.core.settings import Settings

logger = logging.getLogger(__name__)

START_TIMEOUT_S: Final = 30.0
_END_TIMEOUT_S: Final = 1.0
_READY: Final = b"ready"
_READY_FD: Final = "POCKETCODER_READY_FD"
_MAX_MESSAGE_BYTES: Final = 4096


class StartFailed(ForPeople):
    """The daemon did not get ready. The message says why."""


def start_in_background(paths: HostPaths) -> int:
    """Start a daemon that outlives this process and its terminal; return its process id once it answers.

    The home is prepared. Raises StartFailed.
    """
    readable, writable = os.pipe()
    with open(os.open(paths.log_file, os.O_WRONLY | os.O_CREAT | os.O_APPEND, PRIVATE_FILE), "ab") as log:
        child = subprocess.Popen(
            # -P: nothing is imported from the directory it happens to run in.
            [sys.executable, "-P", "-m", "host.cli.background"],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            cwd="/",
            start_new_session=True,
            pass_fds=(writable,),
            env={**os.environ, _READY_FD: str(writable)},
        )
    os.close(writable)
    with open(readable, "rb", buffering=0):
        said = _read_all(readable, time.monotonic() + START_TIMEOUT_S)
    if said == _READY:
        # It runs on by itself; nobody here will wait for it.
        child.returncode = 0
        return child.pid
    if said:
        raise StartFailed(said.decode(errors="replace"))
    try:
        # One that ended has closed the pipe a moment before it is gone.
        child.wait(_END_TIMEOUT_S)
    except subprocess.TimeoutExpired as exc:
        child.terminate()
        with suppress(subprocess.TimeoutExpired):
            # Who looks next must not take it for one that runs.
            child.wait(_END_TIMEOUT_S)
        message = f"The daemon did not get ready within {START_TIMEOUT_S:g} s and was stopped. {_see(paths)}"
        raise StartFailed(message) from exc
    raise StartFailed(f"The daemon ended while it was starting. {_see(paths)}")


def run_in_foreground(paths: HostPaths, settings: Settings) -> NoReturn:
    """Run the daemon here until it is asked to stop; then end the process. Raises what ``run_daemon`` raises."""
    configure_logging(paths, settings.log_level, foreground=True, form=settings.log_format)
    _run(paths, settings, on_ready=lambda: None)
    _end_process(DONE)


def _daemon_process() -> int:
    """What the background process does: run, and say into the pipe whether it got ready."""
    pipe = open(int(os.environ.pop(_READY_FD)), "wb", buffering=0)  # noqa: SIM115 - closed when something was said
    os.set_inheritable(pipe.fileno(), False)

    def say(message: bytes) -> None:
        if not pipe.closed:
            with pipe:
                pipe.write(message[:_MAX_MESSAGE_BYTES])

    try:
        paths = find_paths(os.environ)
        settings = Settings.load(os.environ, paths.config_file)
        prepare_home(paths)
        configure_logging(paths, settings.log_level, foreground=False, form=settings.log_format)
        _run(paths, settings, on_ready=lambda: say(_READY))
    except ForPeople as exc:
        logger.error("%s", exc)
        say(str(exc).encode())
        return FAILED
    except OSError as exc:
        logger.critical("The daemon failed", exc_info=True)
        # The disk may be full, and then the log has nothing of it.
        say(system_refusal(exc).encode())
        return FAILED
    except Exception:
        logger.critical("The daemon failed", exc_info=True)
        return FAILED
    return DONE


def _run(paths: HostPaths, settings: Settings, *, on_ready: Callable[[], None]) -> None:
    # Not for the process that only starts this one: the daemon's modules would take it longer than all else.
    import asyncio  # noqa: PLC0415

    from host.daemon import run_daemon  # noqa: PLC0415

    asyncio.run(run_daemon(paths, settings, on_ready=on_ready))


def _end_process(code: int) -> NoReturn:
    """End now. The interpreter would wait for threads, and one of them may hang on a disk that doesn't answer."""
    logging.shutdown()
    os._exit(code)


def _read_all(descriptor: int, deadline_s: float) -> bytes:
    """What comes through the pipe until its other end is closed, or the time is over."""
    said = b""
    while select.select([descriptor], [], [], max(deadline_s - time.monotonic(), 0))[0]:
        chunk = os.read(descriptor, _MAX_MESSAGE_BYTES)
        if not chunk:
            break
        said += chunk
    return said


def _see(paths: HostPaths) -> str:
    return f"Its log says why: {paths.log_file}"


if __name__ == "__main__":
    _end_process(_daemon_process())
