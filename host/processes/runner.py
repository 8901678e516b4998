"""The one way to run a child process: below a shim that leaves nothing running."""

import asyncio
import errno
import os
from collections.abc import Mapping
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from typing import Final

from host.core.errors import ForPeople
from host.core.tasks import TaskSet
from host.processes import shim_messages
from host.processes.connection import ShimConnection
from host.processes.input import InputPipe
from host.processes.keeper_process import InstallationGone, KeeperProcess
from host.processes.output import OutputPipes
from host.processes.running import RunningProcess
from host.processes.shim_messages import NOT_STARTED
from host.processes.tree import STUCK_S

GRACE_S: Final = 5.0
DRAIN_S: Final = 1.0
START_TIMEOUT_S: Final = 30.0
_MAX_STARTING: Final = 16
_PREPARE_DELAY_S: Final = 0.02
_STOPPING: Final = "Nothing is started any more, because the daemon is stopping."


class ProcessNotStarted(ForPeople):
    """Nothing runs. The message says why."""


@dataclass(frozen=True, slots=True)
class Job:
    """What to run.

    ``argv[0]`` is the program's absolute path. ``environment`` is all that it sees. ``directory`` is an open
    descriptor of the working directory; it stays the caller's and is needed until ``start`` returns. Without
    ``wants_stdin`` its stdin is empty.
    """

    argv: tuple[str, ...]
    environment: Mapping[str, str]
    directory: int
    wants_stdin: bool = False


class ProcessRunner:
    """Starts processes, each below a shim of its own, one of which always stands ready.

    ``grace_s`` lies between SIGTERM and SIGKILL; ``drain_s`` is how long output is waited for after the
    end of a process. Belongs to one event loop.
    """

    def __init__(self, *, grace_s: float = GRACE_S, drain_s: float = DRAIN_S) -> None:
        self._grace_s = grace_s
        self._drain_s = drain_s
        self._keeper = KeeperProcess()
        self._starting = asyncio.Semaphore(_MAX_STARTING)
        self._background = TaskSet()
        self._spare: ShimConnection | None = None
        self._connections: set[ShimConnection] = set()
        self._is_closing = False

    @property
    def keeper_pid(self) -> int | None:
        """The process that forks the shims; None before the first was needed."""
        return self._keeper.pid

    async def prepare(self) -> None:
        """Have a shim stand ready, so that the next start is quick. Never fails: a start says what is wrong."""
        if self._spare is None and not self._is_closing:
            with suppress(OSError, InstallationGone):
                self._keep(await self._connect())

    async def start(self, job: Job) -> RunningProcess:
        """Start a process. Raises ProcessNotStarted; ValueError for a NUL or half a character in the job."""
        async with self._starting:
            if self._is_closing:
                raise ProcessNotStarted(_STOPPING)
            self._background.spawn(self._prepare_soon(), name="prepare a shim")
            try:
                return await self._start(job)
            except InstallationGone as exc:
                raise ProcessNotStarted(str(exc)) from exc
            except OSError as exc:
                raise self._not_started(job.argv[0], exc) from exc

    async def close(self) -> None:
        """Terminate all that runs. What is left after the grace is killed. May be called again.

        What takes longer than 5 s to kill is no longer waited for; its shim goes on.
        """
        self._is_closing = True
        await self._background.cancel()
        running = [connection for connection in self._connections if connection.answer.done()]
        for connection in running:
            connection.terminate()
        if running:
            ends = [connection.tree_ended for connection in running]
            await asyncio.wait(ends, timeout=self._grace_s + STUCK_S)
        for connection in tuple(self._connections):
            connection.close()
        await self._keeper.close()

    async def _prepare_soon(self) -> None:
        # Not at once: a fork would compete with what was just started.
        await asyncio.sleep(_PREPARE_DELAY_S)
        await self.prepare()

    async def _start(self, job: Job) -> RunningProcess:
        with ExitStack() as ours, ExitStack() as theirs:
            stdin, our_stdin = _pipe(theirs, ours) if job.wants_stdin else (_nothing(theirs), None)
            our_stdout, stdout = _pipe(ours, theirs)
            our_stderr, stderr = _pipe(ours, theirs)
            async with asyncio.timeout(START_TIMEOUT_S):
                shim = await self._hand_over(self._encoded(job, (stdin, stdout, stderr)))
            answer = shim.answer.result()
            if answer is not None and answer.kind == NOT_STARTED:
                raise OSError(answer.number, os.strerror(answer.number))
            ours.pop_all()
        return RunningProcess(
            None if answer is None else answer.number,
            shim,
            OutputPipes({"stdout": our_stdout, "stderr": our_stderr}),
            None if our_stdin is None else InputPipe(our_stdin),
            drain_s=self._drain_s,
        )

    def _encoded(self, job: Job, standard: tuple[int, ...]) -> shim_messages.Job:
        return shim_messages.Job(
            arguments=[os.fsencode(argument) for argument in job.argv],
            environment={os.fsencode(name): os.fsencode(value) for name, value in job.environment.items()},
            grace_s=self._grace_s,
            descriptors=(job.directory, *standard),
        )

    async def _hand_over(self, job: shim_messages.Job) -> ShimConnection:
        """The shim that took the job. One that stood ready may have been killed since; then a new one does."""
        spare, self._spare = self._spare, None
        if spare is not None and await _takes(spare, job):
            return spare
        fresh = await self._connect()
        if not await _takes(fresh, job):
            raise ConnectionResetError
        return fresh

    def _not_started(self, program: str, error: OSError) -> ProcessNotStarted:
        return ProcessNotStarted(_STOPPING if self._is_closing else f"{program} could not be started. {_advice(error)}")

    def _keep(self, connection: ShimConnection) -> None:
        if self._spare is not None or self._is_closing:
            connection.close()
        else:
            self._spare = connection

    async def _connect(self) -> ShimConnection:
        connection = ShimConnection(await self._keeper.connect())
        self._connections.add(connection)
        connection.tree_ended.add_done_callback(lambda _: self._connections.discard(connection))
        return connection


async def _takes(shim: ShimConnection, job: shim_messages.Job) -> bool:
    """Whether the shim took the job; it has answered then, unless it was killed. If not, nothing was started."""
    try:
        await shim.send(job)
        answer = await shim.answer
    except ConnectionError:
        shim.close()
        return False
    except BaseException:
        shim.close()
        raise
    return shim.has_taken or answer is not None


def _pipe(read_owner: ExitStack, write_owner: ExitStack) -> tuple[int, int]:
    """A pipe whose ends are closed by their owners."""
    readable, writable = os.pipe()
    read_owner.callback(os.close, readable)
    write_owner.callback(os.close, writable)
    return readable, writable


def _nothing(owner: ExitStack) -> int:
    descriptor = os.open(os.devnull, os.O_RDONLY)
    owner.callback(os.close, descriptor)
    return descriptor


def _advice(error: OSError) -> str:
    match error.errno:
        case errno.ENOENT | errno.ENOTDIR:
            return "There is no such program. Install it, or choose another one."
        case errno.EACCES | errno.EPERM | errno.ENOEXEC:
            return "You may not run it, or it is no program. Check its permissions and those of the directory."
        case errno.E2BIG:
            return "What it was given, or its environment, is too long. Pass it in a file instead."
        case errno.EAGAIN | errno.ENOMEM | errno.EMFILE | errno.ENFILE:
            return "The machine has no room for another process. End some, then try again."
        case _:
            return "Try again; if that does not help, restart the daemon."
