"""The program that forks shims. The daemon runs it once, with a socket as its stdin.

Each byte through that socket comes with a connection for a new shim. A fork of this small process takes a
fraction of a millisecond, where starting an interpreter takes ten or more. When the daemon is gone the keeper
stays until the last shim has ended. If a shim is killed, what ran below it becomes the keeper's (on Linux), which
kills it; only then the daemon sees that shim's connection close.

The standard library only, and little of it.
"""

import os
import signal
import socket
import sys
from contextlib import suppress
from typing import Final, NoReturn

from host.processes.children import ChildAlarm, adopt_orphans, reap
from host.processes.shim import KILL_PAUSE_MS, Shim
from host.processes.shim_messages import NOT_STARTED, Report, encode_report
from host.processes.tree import Patience, Tree

# A keeper or a shim ends by itself, when all is done, and not by a signal to whoever it may concern.
_NOT_HEARD: Final = (signal.SIGHUP, signal.SIGINT, signal.SIGQUIT, signal.SIGTERM, signal.SIGUSR1, signal.SIGUSR2)


class Keeper:
    """Forks shims until the daemon is gone, and stays as long as one of them is there."""

    def __init__(self, control: socket.socket) -> None:
        self._control: socket.socket | None = control
        self._alarm = ChildAlarm()
        # Each shim's connection is held here too, so that it closes after the sweep and not before.
        self._shims: dict[int, socket.socket] = {}
        self._to_sweep: list[socket.socket] = []
        self._patience = Patience()
        adopt_orphans()

    def run(self) -> None:
        while self._control is not None or self._shims or self._to_sweep:
            if self._alarm.wait(self._control, KILL_PAUSE_MS if self._to_sweep else None):
                self._take_connection()
            self._take_note()
            if self._to_sweep:
                self._sweep()

    def _take_connection(self) -> None:
        assert self._control is not None  # noqa: S101 - only what is open brings anything
        try:
            byte, descriptors, _, _ = socket.recv_fds(self._control, 1, 1)
        except OSError:
            byte = b""
        if not byte:
            self._control.close()
            self._control = None
        elif descriptors:
            connection = socket.socket(fileno=descriptors[0])
            connection.set_inheritable(False)
            self._fork_shim(connection)

    def _fork_shim(self, connection: socket.socket) -> None:
        try:
            pid = os.fork()
        except OSError as exc:
            with connection, suppress(OSError):
                connection.sendall(encode_report(Report(NOT_STARTED, exc.errno or 0)))
            return
        if pid == 0:
            self._become_shim(connection)
        self._shims[pid] = connection

    def _become_shim(self, connection: socket.socket) -> NoReturn:
        status = 1
        try:
            self._close_all()
            Shim(connection).run()
            status = 0
        except Exception:  # noqa: BLE001 - what was forked must never return
            sys.excepthook(*sys.exc_info())
        finally:
            os._exit(status)

    def _close_all(self) -> None:
        self._alarm.close()
        for other in (self._control, *self._shims.values(), *self._to_sweep):
            if other is not None:
                other.close()
        # The control socket was descriptor 0, and nothing else may come to have that number.
        os.open(os.devnull, os.O_RDWR)

    def _take_note(self) -> None:
        """What a shim leaves that ended well is nothing, or could not be killed."""
        for pid, status in reap():
            connection = self._shims.pop(pid, None)
            if connection is None:
                continue
            if status == 0:
                connection.close()
            else:
                self._to_sweep.append(connection)
                self._patience = Patience()

    def _sweep(self) -> None:
        left = Tree(apart=self._shims).signal(signal.SIGKILL)
        if left and not self._patience.is_over(left):
            return
        for connection in self._to_sweep:
            connection.close()
        self._to_sweep.clear()


def main() -> None:
    for number in _NOT_HEARD:
        signal.signal(number, signal.SIG_IGN)
    Keeper(socket.socket(fileno=0)).run()
