"""A process's stdin."""

import asyncio
import os


class InputPipe:
    """The writing end, which is closed here. One writer at a time."""

    def __init__(self, descriptor: int) -> None:
        self._loop = asyncio.get_running_loop()
        self._descriptor = descriptor
        self._ready: asyncio.Future[None] | None = None
        os.set_blocking(descriptor, False)

    async def write(self, content: bytes) -> None:
        """Return when the pipe has taken all of it. Raises BrokenPipeError when nobody reads any more.

        If it is cancelled, nobody knows how much was written.
        """
        left = memoryview(content)
        while left:
            if self._descriptor < 0:
                raise BrokenPipeError
            try:
                left = left[os.write(self._descriptor, left) :]
            except BlockingIOError:
                await self._wait()

    def close(self) -> None:
        """The process sees the end of its input. May be called again."""
        if self._descriptor < 0:
            return
        if self._ready is not None:
            self._loop.remove_writer(self._descriptor)
            if not self._ready.done():
                self._ready.set_result(None)
        os.close(self._descriptor)
        self._descriptor = -1

    async def _wait(self) -> None:
        self._ready = self._loop.create_future()
        self._loop.add_writer(self._descriptor, self._wake)
        try:
            await self._ready
        finally:
            self._ready = None
            if self._descriptor >= 0:
                self._loop.remove_writer(self._descriptor)

    def _wake(self) -> None:
        if self._ready is not None and not self._ready.done():
            self._ready.set_result(None)
