"""Running a git that only reads, from a thread."""

import os
import resource
import select
import signal
import subprocess
import sys
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from threading import Lock
from typing import Final

from host.git.environment import read_environment
from host.git.finished import Finished
from host.protocol.errors import GitFailed
from host.protocol.limits import KIB, MIB

MAX_OUTPUT_BYTES: Final = 32 * MIB
MAX_MEMORY_BYTES: Final = 1024 * MIB
_PIECE_BYTES: Final = 64 * KIB


class Reader:
    """Runs gits that read, for one piece of work in a thread. ``end`` may be called from any other thread."""

    def __init__(self, program: str, user: Mapping[str, str]) -> None:
        self._program = program
        self._user = user
        self._lock = Lock()
        self._child: subprocess.Popen[bytes] | None = None
        self._is_ended = False

    def run(
        self,
        directory: Path,
        *arguments: str | bytes,
        settings: Mapping[str, str] | None = None,
        max_bytes: int = MAX_OUTPUT_BYTES,
        index: Path | None = None,
    ) -> Finished:
        """Run git in ``directory`` with an empty stdin. Of more than ``max_bytes`` of output the rest is cut.

        ``settings`` are the repository's (``Configuration.overrides``). Raises GitFailed if it can't be started.
        """
        with self.start(directory, *arguments, settings=settings, index=index) as child:
            self.watch(child)
            try:
                stdout, stderr, is_cut = _drain(child, max_bytes)
                if is_cut:
                    _kill_group(child)
            except BaseException:
                _kill_group(child)
                raise
            finally:
                child.wait()
                self.watch(None)
        exit_code = child.returncode if child.returncode >= 0 else None
        return Finished(os.fsdecode(arguments[0]), exit_code, stdout, stderr, is_cut)

    def start(
        self,
        directory: Path,
        *arguments: str | bytes,
        settings: Mapping[str, str] | None = None,
        index: Path | None = None,
        stdin: int = subprocess.DEVNULL,
        stderr: int = subprocess.PIPE,
    ) -> subprocess.Popen[bytes]:
        """The bare process, for who talks with it for longer. Raises GitFailed if it can't be started."""
        try:
            child = subprocess.Popen(  # noqa: S603 - an absolute path, and no shell
                [self._program, *arguments],
                cwd=directory,
                env=read_environment(self._user, settings or {}, index),
                stdin=stdin,
                stdout=subprocess.PIPE,
                stderr=stderr,
                start_new_session=True,
            )
        except OSError as exc:
            message = "git could not be started. The machine may have no room for another process; try again later."
            raise GitFailed(message, stderr="", exitCode=None) from exc
        _limit_memory(child.pid)
        return child

    def watch(self, child: subprocess.Popen[bytes] | None) -> None:
        """This is what ``end`` kills from now on."""
        with self._lock:
            self._child = child
            if child is not None and self._is_ended:
                _kill_group(child)

    def end(self) -> None:
        """Kill what runs, and whatever is started from now on."""
        with self._lock:
            self._is_ended = True
            if self._child is not None:
                _kill_group(self._child)


def _limit_memory(process_id: int) -> None:
    """On Linux. Some files git reads to their end, and a repository may name one that has none."""
    if sys.platform != "linux":
        return
    # It may have ended already, or may have less.
    with suppress(OSError):
        resource.prlimit(process_id, resource.RLIMIT_DATA, (MAX_MEMORY_BYTES, MAX_MEMORY_BYTES))


def _drain(child: subprocess.Popen[bytes], max_bytes: int) -> tuple[bytes, bytes, bool]:
    """Stdout up to ``max_bytes``, the end of stderr, and whether there was more."""
    assert child.stdout is not None  # noqa: S101 - both are pipes
    assert child.stderr is not None  # noqa: S101
    kept = {child.stdout.fileno(): bytearray(), child.stderr.fileno(): bytearray()}
    stdout, stderr = kept.values()
    # A selector would cost a tenth of a millisecond more.
    waiting, open_pipes = select.poll(), len(kept)
    for descriptor in kept:
        waiting.register(descriptor, select.POLLIN)
    while open_pipes:
        for descriptor, _ in waiting.poll():
            piece = os.read(descriptor, _PIECE_BYTES)
            kept[descriptor] += piece
            if not piece:
                waiting.unregister(descriptor)
                open_pipes -= 1
        if len(stdout) > max_bytes:
            return bytes(stdout[:max_bytes]), bytes(stderr), True
        del stderr[:-_PIECE_BYTES]
    return bytes(stdout), bytes(stderr), False


def _kill_group(child: subprocess.Popen[bytes]) -> None:
    # The number is another's, perhaps, once it was waited for.
    with suppress(ProcessLookupError):
        if child.returncode is None:
            os.killpg(child.pid, signal.SIGKILL)
