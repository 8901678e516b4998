"""The daemon's end of a shim's connection."""

import asyncio
import errno
import os
import signal
import socket
from contextlib import suppress
from dataclasses import dataclass
from typing import Final, TypeVar

from host.processes.shim_messages import (
    ENDED,
    KILL,
    MAX_JOB_BYTES,
    REPORT_BYTES,
    TAKEN,
    TERMINATE,
    TREE_ENDED,
    Job,
    Report,
    decode_reports,
    encode_job,
)

# So much always fits into an empty socket.
_FIRST_BYTES: Final = 4096

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Ended:
    """How a process ended: one of the two, or neither, when its shim was killed and nobody knows."""

    exit_code: int | None = None
    signal: str | None = None

    @property
    def is_known(self) -> bool:
        return self.exit_code is not None or self.signal is not None


@dataclass(frozen=True, slots=True)
class TreeEnded:
    """``last_signal`` is the last one that was needed, None if all ended by itself. ``left`` could not be ended."""

    last_signal: str | None = None
    left: int = 0


class ShimConnection:
    """Sends a shim its job and words, and keeps what it reports. Belongs to the running event loop.

    The futures are always resolved, at the latest when the connection ends; await them through
    ``asyncio.shield``. ``answer`` is STARTED or NOT_STARTED, None if the shim was killed before it could tell.
    What it had not taken by then was never started.
    """

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self._loop = loop = asyncio.get_running_loop()
        self._received = b""
        self.has_taken = False
        self.answer: asyncio.Future[Report | None] = loop.create_future()
        self.ended: asyncio.Future[Ended] = loop.create_future()
        self.tree_ended: asyncio.Future[TreeEnded] = loop.create_future()
        loop.add_reader(connection, self._receive)

    async def send(self, job: Job) -> None:
        """Raises ValueError for a NUL in a string, OSError for too much, ConnectionError when the shim is gone.

        It can't have got the whole job then.
        """
        encoded = encode_job(job)
        if self.tree_ended.done():
            raise ConnectionResetError
        if len(encoded) > MAX_JOB_BYTES:
            raise OSError(errno.E2BIG, os.strerror(errno.E2BIG))
        socket.send_fds(self._connection, [encoded[:_FIRST_BYTES]], list(job.descriptors))
        # Sending nothing would fail if all is done already, and look as if the shim had not got the job.
        if len(encoded) > _FIRST_BYTES:
            await self._loop.sock_sendall(self._connection, memoryview(encoded)[_FIRST_BYTES:])

    def terminate(self) -> None:
        """SIGTERM to the whole tree and, after the job's grace, SIGKILL."""
        self._say(TERMINATE)

    def kill(self) -> None:
        """SIGKILL to the whole tree."""
        self._say(KILL)

    def close(self) -> None:
        """End it. If anything still runs, the shim kills it."""
        if self._connection.fileno() < 0:
            return
        self._loop.remove_reader(self._connection)
        self._connection.close()
        _resolve(self.answer, None)
        _resolve(self.ended, Ended())
        _resolve(self.tree_ended, TreeEnded())

    def _say(self, word: bytes) -> None:
        # A shim that is gone has nothing left to end.
        with suppress(OSError):
            self._connection.send(word)

    def _receive(self) -> None:
        try:
            received = self._connection.recv(4096)
        except BlockingIOError:
            return
        except OSError:
            received = b""
        if not received:
            self.close()
            return
        self._received += received
        whole = len(self._received) // REPORT_BYTES * REPORT_BYTES
        reports, self._received = decode_reports(self._received[:whole]), self._received[whole:]
        for report in reports:
            self._take(report)

    def _take(self, report: Report) -> None:
        if report.kind == TAKEN:
            self.has_taken = True
        elif report.kind == ENDED:
            _resolve(self.ended, _ended(report.number))
        elif report.kind == TREE_ENDED:
            _resolve(self.tree_ended, TreeEnded(_name(report.number) if report.number else None, report.left))
            self.close()
        else:
            _resolve(self.answer, report)


def _resolve(future: "asyncio.Future[T]", value: T) -> None:
    if not future.done():
        future.set_result(value)


def _ended(code: int) -> Ended:
    return Ended(exit_code=code) if code >= 0 else Ended(signal=_name(-code))


def _name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"SIGRTMIN+{number - signal.SIGRTMIN}"
