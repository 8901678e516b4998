"""One run of a command, from its start to the last event in its log."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from msgspec import UNSET

from host.commands.output import Output
from host.core.requests import Emit
from host.db.command_runs import CommandRuns, RunEnd
from host.processes.connection import Ended, TreeEnded
from host.processes.running import RunningProcess
from host.protocol.messages.commands import CommandExit, ExitReason


@dataclass
class Run:
    """``go`` once. Every event is in the log before it is emitted."""

    request_id: str
    runs: CommandRuns
    emit: Emit
    timeout_s: float
    monotonic_s: Callable[[], float] = time.monotonic
    _process: RunningProcess | None = None
    _output: Output = field(default_factory=Output)
    _reason: ExitReason | None = None
    _came: asyncio.Event = field(default_factory=asyncio.Event)
    _is_read: bool = False

    async def go(self, start: Callable[[], Awaitable[RunningProcess]]) -> CommandExit:
        """Run to the end. The end is logged, not emitted: it is the request's answer.

        Nothing is started that somebody has cancelled already. Raises what ``start`` raises; nothing is logged then.
        Cancelled, it ends the tree, logs ``interrupted`` and raises CancelledError.
        """
        if self._reason is not None:
            return await self._finish(self.monotonic_s(), None, None)
        process = self._process = await start()
        if self._reason is not None:
            process.terminate()
        started_s = self.monotonic_s()
        limit = asyncio.get_running_loop().call_later(self.timeout_s, self._stop, "timeout")
        writer = asyncio.create_task(self._write())
        try:
            async with process:
                await self._read(process)
                ended, tree = await process.wait(), await process.end()
                await writer
            return await self._finish(started_s, ended, tree)
        except asyncio.CancelledError:
            self._reason = "interrupted"
            await asyncio.shield(self._finish(started_s, None, None))
            raise
        finally:
            limit.cancel()
            writer.cancel()
            await asyncio.gather(writer, return_exceptions=True)

    def cancel(self) -> None:
        """Somebody does not want it any more, maybe before it has begun. Once it has ended this does nothing."""
        self._stop("cancelled")

    def _stop(self, reason: ExitReason) -> None:
        if self._reason is None:
            self._reason = reason
            if self._process is not None:
                self._process.terminate()

    async def _read(self, process: RunningProcess) -> None:
        while (piece := await process.read()) is not None:
            self._output.feed(*piece)
            if self._output.has_chunks:
                self._came.set()
        self._output.finish()
        self._is_read = True
        self._came.set()

    async def _write(self) -> None:
        """Log and emit what came. While the log is busy more comes, so a flood becomes few large events."""
        while not self._is_read or self._output.has_chunks:
            await self._came.wait()
            self._came.clear()
            if self._output.has_chunks:
                for event in await self.runs.append(self.request_id, self._output.chunks()):
                    self.emit(event)

    async def _finish(self, started_s: float, ended: Ended | None, tree: TreeEnded | None) -> CommandExit:
        was_stopped = self._reason is not None
        # Nobody knows how it ended whose shim was killed.
        self._reason = self._reason or ("exited" if ended and ended.is_known else "interrupted")
        signal = ended.signal if ended else None
        return await self.runs.finish(
            self.request_id,
            RunEnd(
                reason=self._reason,
                exit_code=None if was_stopped or ended is None else ended.exit_code,
                # Of a tree that was ended, the last one that was needed.
                signal=(tree.last_signal if was_stopped and tree else None) or signal,
                duration_ms=round((self.monotonic_s() - started_s) * 1000),
                truncated=self._output.truncated,
                output_tail=self._output.tail if self._output.truncated else UNSET,
            ),
        )
