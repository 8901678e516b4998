"""The daemon's side of the keeper: started when it is needed, and again when it was killed."""

import asyncio
import os
import socket
import sys
from contextlib import suppress
from pathlib import Path
from typing import Final

import host
from host.core.errors import ForPeople
from host.processes.tree import STUCK_S

_END_TIMEOUT_S: Final = STUCK_S + 2
_PACKAGES: Final = str(Path(host.__file__).parents[1])
# Isolated and without site packages it starts in half the time. Ours come last on the path: they hide no module.
PROGRAM: Final = f"import sys; sys.path.append({_PACKAGES!r}); from host.processes.keeper import main; main()"


class InstallationGone(ForPeople):
    """There is nothing left to start a keeper by. The message says why and what to do."""


def installation_problem() -> str | None:
    """A sentence when this program was moved or removed while it runs, as by an upgrade; None while it is there."""
    for part in (sys.executable, host.__file__):
        if not os.path.exists(part):
            return (
                f"PocketCoder was moved or removed while its daemon runs: {part} is not there any more. Restart it "
                "from where it is installed now: pocketcoder stop && pocketcoder start"
            )
    return None


class KeeperProcess:
    """At most one keeper. Belongs to one event loop."""

    def __init__(self) -> None:
        self._process: asyncio.subprocess.Process | None = None
        self._control: socket.socket | None = None
        self._starting = asyncio.Lock()
        self._is_closed = False

    @property
    def pid(self) -> int | None:
        return None if self._process is None else self._process.pid

    async def connect(self) -> socket.socket:
        """Our end of a new shim's connection, not blocking. It closes when no shim can be made.

        Raises InstallationGone, or OSError: ConnectionError after ``close``, and when the keeper can't be kept running.
        """
        ours, theirs = socket.socketpair()
        ours.setblocking(False)
        with theirs:
            try:
                async with self._starting:
                    if self._is_closed:
                        raise ConnectionResetError
                    if not self._hand_over(theirs):
                        await self._start()
                        if not self._hand_over(theirs):
                            raise ConnectionResetError
            except BaseException:
                ours.close()
                raise
        return ours

    async def close(self) -> None:
        """Let it end, which it does once its shims have; it is killed when it does not in time. For good."""
        self._is_closed = True
        async with self._starting:
            await self._end()

    async def _end(self) -> None:
        if self._control is not None:
            self._control.close()
            self._control = None
        if self._process is None:
            return
        with suppress(TimeoutError):
            await asyncio.wait_for(self._process.wait(), _END_TIMEOUT_S)
            return
        with suppress(ProcessLookupError):
            self._process.kill()
        await self._process.wait()

    def _hand_over(self, connection: socket.socket) -> bool:
        """Whether there was a keeper to take it. Raises BlockingIOError when it does not keep up."""
        if self._control is None:
            return False
        try:
            socket.send_fds(self._control, [b"+"], [connection.fileno()])
        except (BrokenPipeError, ConnectionResetError):
            return False
        return True

    async def _start(self) -> None:
        await self._end()
        if (problem := installation_problem()) is not None:
            raise InstallationGone(problem)
        self._control, theirs = socket.socketpair()
        self._control.setblocking(False)
        with theirs:
            self._process = await asyncio.create_subprocess_exec(
                sys.executable,
                "-I",
                "-S",
                "-c",
                PROGRAM,
                stdin=theirs.fileno(),
                stdout=asyncio.subprocess.DEVNULL,
                cwd="/",
                start_new_session=True,
            )
