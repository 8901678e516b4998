"""A process that runs below its shim."""

import asyncio
from types import TracebackType
from typing import Self

from host.processes.connection import Ended, ShimConnection, TreeEnded
from host.processes.input import InputPipe
from host.processes.output import OutputPipes, Piece


class RunningProcess:
    """What was started, and all that it starts. ``pid`` is None if its shim was killed before it could tell.

    Leaving its context kills what still runs. The natural way through:

        async with await runner.start(job) as process:
            while (piece := await process.read()) is not None:
                ...
            ended = await process.wait()
            tree = await process.end()
    """

    def __init__(
        self,
        pid: int | None,
        connection: ShimConnection,
        output: OutputPipes,
        stdin: InputPipe | None,
        *,
        drain_s: float,
    ) -> None:
        self.pid = pid
        self.stdin = stdin
        self._connection = connection
        self._output = output
        # The end of the process, not of its pipes: what it left in the background may hold them for ever.
        connection.ended.add_done_callback(lambda _: output.close_within(drain_s))

    async def read(self) -> Piece | None:
        """The next piece of output, as it comes, at most 64 KiB.

        None when both pipes are closed, or when the process ended ``drain_s`` ago and what had been
        written by then is read. While nobody reads, whoever writes is made to wait. A cancelled read loses nothing.
        """
        return await self._output.read()

    async def wait(self) -> Ended:
        """How the process itself ended, once it has. What it left in the background may run on."""
        return await asyncio.shield(self._connection.ended)

    def terminate(self) -> None:
        """SIGTERM to the whole tree and, after the grace, SIGKILL until nothing is left. May be called again."""
        self._connection.terminate()

    def kill(self) -> None:
        """SIGKILL to the whole tree until nothing is left."""
        self._connection.kill()

    async def end(self) -> TreeEnded:
        """Close the pipes, terminate what is left, and return when nothing is. Goes on when it is cancelled."""
        self._close_pipes()
        self.terminate()
        return await asyncio.shield(self._connection.tree_ended)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.kill()
        await self.end()

    def _close_pipes(self) -> None:
        self._output.close()
        if self.stdin is not None:
            self.stdin.close()
