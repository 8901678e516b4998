"""What a process writes, read in pieces as it comes. Nothing is kept here: who doesn't read makes it wait."""

import array
import asyncio
import fcntl
import os
import termios
from collections.abc import Mapping
from typing import Final, Literal

MAX_PIECE_BYTES: Final = 64 * 1024

StreamName = Literal["stdout", "stderr"]
Piece = tuple[StreamName, bytes]


class OutputPipes:
    """The reading ends of pipes, which are closed here. One reader at a time."""

    def __init__(self, descriptors: Mapping[StreamName, int]) -> None:
        self._loop = asyncio.get_running_loop()
        self._pipes = [_Pipe(name, descriptor) for name, descriptor in descriptors.items()]
        self._ready: asyncio.Future[None] | None = None
        self._limit: asyncio.TimerHandle | None = None

    async def read(self) -> Piece | None:
        """The next piece, at most 64 KiB; None when all is read. A cancelled read loses nothing."""
        # A process that writes without end must not keep the loop from everything else.
        await asyncio.sleep(0)
        while self._pipes:
            for pipe in tuple(self._pipes):
                content = pipe.read()
                if content is None:
                    continue
                # To the end of the row, so that neither stream has to wait for the other to pause.
                self._pipes.remove(pipe)
                if content:
                    self._pipes.append(pipe)
                    return pipe.name, content
                pipe.close()
            if self._pipes:
                await self._wait()
        return None

    def close_within(self, delay_s: float) -> None:
        """After that time nothing more is waited for; what has been written by then is still read."""
        self._limit = self._loop.call_later(delay_s, self._stop_waiting)

    def close(self) -> None:
        """Drop what was not read. Who still writes gets SIGPIPE."""
        if self._limit is not None:
            self._limit.cancel()
        for pipe in self._pipes:
            self._loop.remove_reader(pipe.descriptor)
            pipe.close()
        self._pipes.clear()
        self._wake()

    async def _wait(self) -> None:
        self._ready = self._loop.create_future()
        for pipe in self._pipes:
            self._loop.add_reader(pipe.descriptor, self._wake)
        try:
            await self._ready
        finally:
            self._ready = None
            for pipe in self._pipes:
                self._loop.remove_reader(pipe.descriptor)

    def _stop_waiting(self) -> None:
        for pipe in self._pipes:
            pipe.take_only_what_is_there()
        self._wake()

    def _wake(self) -> None:
        if self._ready is not None and not self._ready.done():
            self._ready.set_result(None)


class _Pipe:
    def __init__(self, name: StreamName, descriptor: int) -> None:
        self.name: Final = name
        self.descriptor: Final = descriptor
        self._left_bytes: int | None = None
        os.set_blocking(descriptor, False)

    def read(self) -> bytes | None:
        """What is there; None if that is nothing yet, empty at the end."""
        size = MAX_PIECE_BYTES if self._left_bytes is None else min(MAX_PIECE_BYTES, self._left_bytes)
        try:
            content = os.read(self.descriptor, size)
        except BlockingIOError:
            return None
        if self._left_bytes is not None:
            self._left_bytes -= len(content)
        return content

    def take_only_what_is_there(self) -> None:
        count = array.array("i", [0])
        fcntl.ioctl(self.descriptor, termios.FIONREAD, count)
        self._left_bytes = count[0]

    def close(self) -> None:
        os.close(self.descriptor)
