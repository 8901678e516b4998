"""One run of a command, from its start to the last event in its log."""

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final, Protocol

from msgspec import UNSET

from host.commands.output import Channel, Output
from host.core.requests import Emit
from host.db.command_runs import CommandRuns, RunEnd
from host.protocol.messages.commands import CommandExit, ExitReason

# After the shell's end: how long what it wrote is still read while something of it lives on.
DRAIN_S: Final = 1.0


class Ended(Protocol):
    """How a process ended: one of the two is not None."""

    @property
    def exit_code(self) -> int | None: ...

    @property
    def signal(self) -> str | None: ...


class Process(Protocol):
    """A command's process and everything that comes of it."""

    async def read(self) -> tuple[Channel, bytes] | None:
        """The next piece of output; None when no more can come."""

    async def wait(self) -> Ended:
        """How the main process ended."""

    async def end_tree(self) -> None:
        """End what is left of the tree, and wait for it."""

    def terminate(self) -> None:
        """SIGTERM, after 5 s SIGKILL, to the whole tree."""

    def kill(self) -> None:
        """SIGKILL to the whole tree."""


@dataclass
class Run:
    """``go`` once. Every event is in the log before it is emitted."""

    request_id: str
    process: Process
    runs: CommandRuns
    emit: Emit
    timeout_s: float
    monotonic_s: Callable[[], float] = time.monotonic
    _output: Output = field(default_factory=Output)
    _reason: ExitReason | None = None
    _came: asyncio.Event = field(default_factory=asyncio.Event)
    _is_read: bool = False

    async def go(self) -> CommandExit:
        """Run to the end. The end is logged, not emitted: it is the request's answer.

        Cancelled, it ends the tree, logs ``interrupted`` and raises CancelledError.
        """
        started_s = self.monotonic_s()
        reader, writer = asyncio.create_task(self._read()), asyncio.create_task(self._write())
        try:
            ended = await self._main_end()
            await asyncio.wait({reader}, timeout=DRAIN_S)
            await self.process.end_tree()
            await reader
            await writer
            return await self._finish(started_s, ended)
        except asyncio.CancelledError:
            self._reason = "interrupted"
            self.process.kill()
            await asyncio.shield(self._finish(started_s, None))
            raise
        finally:
            for task in (reader, writer):
                task.cancel()
            await asyncio.gather(reader, writer, return_exceptions=True)

    def cancel(self) -> None:
        """Somebody does not want it any more. Once it has ended this does nothing."""
        if self._reason is None:
            self._reason = "cancelled"
            self.process.terminate()

    async def _main_end(self) -> Ended:
        main = asyncio.create_task(self.process.wait())
        try:
            done, _ = await asyncio.wait({main}, timeout=self.timeout_s)
            if not done and self._reason is None:
                self._reason = "timeout"
                self.process.terminate()
            return await main
        finally:
            main.cancel()

    async def _read(self) -> None:
        try:
            while (piece := await self.process.read()) is not None:
                self._output.feed(*piece)
                if self._output.has_chunks:
                    self._came.set()
        finally:
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

    async def _finish(self, started_s: float, ended: Ended | None) -> CommandExit:
        self._reason = self._reason or "exited"
        return await self.runs.finish(
            self.request_id,
            RunEnd(
                reason=self._reason,
                exit_code=ended.exit_code if ended else None,
                signal=ended.signal if ended else None,
                duration_ms=round((self.monotonic_s() - started_s) * 1000),
                truncated=self._output.truncated,
                output_tail=self._output.tail if self._output.truncated else UNSET,
            ),
        )
