"""Runs one command, and ends its whole tree of processes, however the command or the daemon ends.

A shim is a process between the daemon and a command, forked by the keeper (docs/adr/0008). It starts the
command as the leader of a session of its own and waits. Told to terminate, it sends SIGTERM and, after a
grace, SIGKILL; told to kill, SIGKILL at once; and so it does when its connection closes, which means that
the daemon is gone. It ends when nothing of the tree is left.

On Linux it adopts what loses its parent, whatever sessions and groups that has made: nothing escapes. Elsewhere
(macOS) the tree is what descends from the shim, is in the command's group, or carries the shim's mark in its
environment. That misses a process that left the group, lost its parent, and has its environment changed or
hidden, as macOS does for its own programs.

The standard library only, and little of it.
"""

import os
import signal
import socket
import time
from typing import Final

from host.processes.children import ChildAlarm, adopt_orphans, has_children, reap
from host.processes.shim_messages import (
    ENDED,
    KILL,
    NOT_STARTED,
    STARTED,
    TAKEN,
    TREE_ENDED,
    Job,
    Report,
    encode_report,
    receive_job,
)
from host.processes.tree import Patience, Process, Tree, signal_group

KILL_PAUSE_MS: Final = 5
_MARK: Final = b"POCKETCODER_RUN"
_SIGNALS: Final = tuple(map(int, signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP}))


class Shim:
    """Runs the one job that its connection brings."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self._alarm = ChildAlarm()
        self._adopts = adopt_orphans()
        self._tree = Tree()
        self._main = 0
        self._has_ended = False
        self._last_signal = 0

    def run(self) -> None:
        """Return when nothing of the tree is left, or could not be killed."""
        job = self._receive_job()
        if job is None:
            return
        self._report(TAKEN)
        mark = b"" if self._adopts else b"%d.%d" % (os.getpid(), time.time_ns())
        try:
            self._main = _spawn(job, {_MARK: mark} if mark else {})
        except OSError as exc:
            self._report(NOT_STARTED, exc.errno or 0)
            return
        if mark:
            self._tree = Tree(group=self._main, mark=_MARK + b"=" + mark)
        self._report(STARTED, self._main)
        left = self._watch(job.grace_s)
        self._report(TREE_ENDED, self._last_signal, left)

    def _watch(self, grace_s: float) -> int:
        """Until nothing runs any more. Returns how many processes could not be ended."""
        kill_at_s: float | None = None
        while not self._is_gone():
            if kill_at_s is not None and time.monotonic() >= kill_at_s:
                return self._kill()
            timeout_ms = None if kill_at_s is None else (kill_at_s - time.monotonic()) * 1000
            if self._alarm.wait(self._connection, max(timeout_ms, 0) if timeout_ms is not None else None):
                words = self._receive_words()
                if not words or KILL in words:
                    return self._kill()
                if kill_at_s is None:
                    self._terminate()
                    kill_at_s = time.monotonic() + grace_s
        return 0

    def _terminate(self) -> None:
        self._signal(signal.SIGTERM)
        # What is stopped would not hear it.
        self._tree.signal(signal.SIGCONT)

    def _kill(self) -> int:
        """Again and again, because what forks while the table is read is missed. Returns what ``_watch`` does."""
        patience = Patience()
        if self._adopts and not self._has_ended:
            # At once, before a table that may be long is read. Without adoption, what it left would be lost to us.
            signal_group(self._main, signal.SIGKILL)
            self._last_signal = signal.SIGKILL
        while not self._is_gone():
            left = self._signal(signal.SIGKILL)
            if patience.is_over(left):
                return len(left)
            self._alarm.wait(None, KILL_PAUSE_MS)
        return 0

    def _signal(self, number: int) -> list[Process]:
        found = self._tree.signal(number)
        if found:
            self._last_signal = number
        return found

    def _is_gone(self) -> bool:
        """Take note of the children that have ended; whether nothing is left."""
        for pid, status in reap():
            if pid == self._main:
                self._has_ended = True
                self._report(ENDED, os.waitstatus_to_exitcode(status))
        return not has_children() and (self._adopts or not self._tree.find())

    def _receive_job(self) -> Job | None:
        try:
            return receive_job(self._connection)
        except OSError:
            return None

    def _receive_words(self) -> bytes:
        try:
            return self._connection.recv(64)
        except OSError:
            return b""

    def _report(self, kind: bytes, number: int = 0, left: int = 0) -> None:
        try:
            self._connection.sendall(encode_report(Report(kind, number, left)))
        except OSError:
            # The daemon is gone. The connection's end says so as well.
            return


def _spawn(job: Job, added: dict[bytes, bytes]) -> int:
    """Start the job with nothing open but what it was given, and return its process id. Raises OSError."""
    directory, *standard = job.descriptors
    try:
        os.fchdir(directory)
        return os.posix_spawn(
            job.arguments[0],
            list(job.arguments),
            {**job.environment, **added},
            file_actions=[(os.POSIX_SPAWN_DUP2, source, target) for target, source in enumerate(standard)],
            setsid=True,
            setsigmask=(),
            setsigdef=_SIGNALS,
        )
    finally:
        os.chdir("/")
        for descriptor in job.descriptors:
            os.close(descriptor)
