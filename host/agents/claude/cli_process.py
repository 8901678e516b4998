"""A process of the CLI that we talk with: lines out, lines in."""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import suppress
from types import TracebackType
from typing import Final, Self

from host.agents.claude.framer import Framer
from host.agents.claude.stream_json import Line, UnreadableLine, parse
from host.core.tasks import TaskSet
from host.processes.connection import Ended
from host.processes.running import RunningProcess
from host.protocol.limits import KIB

logger = logging.getLogger(__name__)

# How long a process may stay that has closed its output.
ENDING_S: Final = 5.0
_MAX_STDERR_BYTES: Final = 8 * KIB
_MAX_UNREADABLE_LOGGED: Final = 5


class CliProcess:
    """Wraps what was started with ``wants_stdin``. Leaving its context kills what still runs of it."""

    def __init__(self, process: RunningProcess) -> None:
        self._process = process
        self._framer = Framer()
        self._unreadable = 0
        self._stderr = b""
        self._writes = TaskSet()
        self._write_lock = asyncio.Lock()

    async def lines(self) -> AsyncIterator[list[Line]]:
        """What it says, several lines together where they came together, until it has ended. To be read once."""
        while (piece := await self._process.read()) is not None:
            stream, content = piece
            if stream == "stderr":
                self._stderr = (self._stderr + content)[-_MAX_STDERR_BYTES:]
            elif raw := self._framer.feed(content):
                yield [line for one in raw if (line := self._parse(one)) is not None]

    @property
    def stderr(self) -> str:
        """The end of what it wrote there."""
        return self._stderr.decode(errors="replace")

    def say(self, line: bytes) -> None:
        """Write a line, behind those before it, without waiting. Who does not read any more is not told."""
        self._writes.spawn(self._write(line), name="write to the agent")

    def close_input(self) -> None:
        """Nothing more is said; it ends by itself then. May be called again."""
        if self._process.stdin is not None:
            self._process.stdin.close()

    def terminate(self) -> None:
        """End it, and all that it started, by force. May be called again."""
        self._process.terminate()

    async def end(self) -> Ended:
        """How it ended, once nothing is left of it, nor of what it started. What it still says is lost."""
        self.close_input()
        try:
            async with asyncio.timeout(ENDING_S):
                ended = await self._process.wait()
        except TimeoutError:
            self._process.terminate()
            ended = await self._process.wait()
        await self._process.end()
        await self._writes.cancel()
        self._log()
        return ended

    async def __aenter__(self) -> Self:
        await self._process.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._process.__aexit__(kind, error, trace)
        await self._writes.cancel()

    async def _write(self, line: bytes) -> None:
        stdin = self._process.stdin
        async with self._write_lock:
            if stdin is not None:
                with suppress(BrokenPipeError):
                    await stdin.write(line)

    def _parse(self, raw: bytes) -> Line | None:
        try:
            return parse(raw)
        except UnreadableLine as exc:
            self._unreadable += 1
            if self._unreadable <= _MAX_UNREADABLE_LOGGED:
                logger.warning("A line of Claude Code can't be read, %d bytes: %s", len(raw), exc)
            return None

    def _log(self) -> None:
        if self._framer.dropped:
            logger.warning("Claude Code wrote %d lines that were too long to be kept.", self._framer.dropped)
        if self._stderr:
            logger.info("Claude Code wrote on stderr: %s", self.stderr)
