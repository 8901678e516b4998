"""A process's children: adopting orphans, hearing of their ends, waiting for them.

Imported by the shim: the standard library only, and little of it.
"""

import ctypes
import os
import select
import signal
import socket
import sys
from collections.abc import Iterator
from typing import Final

_PR_SET_CHILD_SUBREAPER: Final = 36


def adopt_orphans() -> bool:
    """From now on a descendant that loses its parent becomes this process's child (prctl(2)).

    Then no child left means no descendant left. False where the system knows no such thing.
    """
    if not sys.platform.startswith("linux"):
        return False
    return bool(ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) == 0)


def reap() -> Iterator[tuple[int, int]]:
    """Process id and wait status of each child that has ended, once."""
    while True:
        try:
            pid, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return
        if pid == 0:
            return
        yield pid, status


def has_children() -> bool:
    """Whether there is any, running or not yet waited for."""
    try:
        os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    except ChildProcessError:
        return False
    return True


class ChildAlarm:
    """Wakes a wait when a child has ended. One a process."""

    def __init__(self) -> None:
        self._heard, self._rung = os.pipe()
        for end in (self._heard, self._rung):
            os.set_blocking(end, False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.set_wakeup_fd(self._rung, warn_on_full_buffer=False)

    def wait(self, connection: socket.socket | None, timeout_ms: float | None) -> bool:
        """Wait for a child's end, for bytes from the connection or its end, or for the time; whether it was the second.

        May return early with False.
        """
        poll = select.poll()
        poll.register(self._heard, select.POLLIN)
        if connection is not None:
            poll.register(connection, select.POLLIN)
        ready = {descriptor for descriptor, _ in poll.poll(timeout_ms)}
        if self._heard in ready:
            os.read(self._heard, 4096)
        return bool(ready - {self._heard})

    def close(self) -> None:
        signal.set_wakeup_fd(-1)
        os.close(self._heard)
        os.close(self._rung)
