"""One WebSocket of a peer: bounded sending, heartbeat, and frames turned into envelopes.

The only module of the relay that knows aiohttp's WebSocket.
"""

import asyncio
import logging
from collections import deque
from collections.abc import AsyncIterator, Coroutine
from contextlib import suppress
from typing import Any, Final

from aiohttp import WSMsgType, web

from host.protocol.close_codes import CloseCode
from host.protocol.envelope import (
    Envelope,
    InvalidEnvelope,
    NotAMessage,
    binary_frame,
    decode_envelope,
    encode_envelope,
)
from host.protocol.limits import BAD_FRAME_WINDOW_S, MAX_BAD_FRAMES, MAX_QUEUED_BYTES, MAX_QUEUED_FRAMES
from relay_stub.strangers import MAX_DECODED_BYTES

logger = logging.getLogger(__name__)

_CLOSE_TIMEOUT_S: Final = 2.0
_BURST_FRAMES: Final = 64
# A peer whose queue is full and that took nothing for this long is no reader any more.
_STALLED_S: Final = 10.0


class PeerSocket:
    """``send`` never waits and never raises; what cannot be sent any more is dropped with the connection.

    ``is_stranger`` until its owner says otherwise.
    """

    def __init__(self, response: web.WebSocketResponse, request: web.Request) -> None:
        self._response = response
        self._request = request
        self._queue: deque[bytes] = deque()
        self._queued_bytes = 0
        self._filled = asyncio.Event()
        self._loop = asyncio.get_running_loop()
        self._closing: asyncio.Future[None] = self._loop.create_future()
        self._last_taken_s = self._loop.time()
        self._bad_frames: list[float] = []
        self._close_code: int | None = None
        self.is_stranger = True

    @property
    def is_closing(self) -> bool:
        return self._close_code is not None

    def has_room(self, size_bytes: int) -> bool:
        return len(self._queue) < MAX_QUEUED_FRAMES and self._queued_bytes + size_bytes <= MAX_QUEUED_BYTES

    def send(self, envelope: Envelope) -> None:
        """Queue a message; a peer too slow to take it is closed with 1013."""
        if not self.offer(envelope):
            self.close(CloseCode.OVERLOADED)

    def offer(self, envelope: Envelope) -> bool:
        """Queue a message if there is room, and say so. A peer that stalls meanwhile is closed."""
        if self.is_closing:
            return True
        frame = encode_envelope(envelope)
        if not self.has_room(len(frame)):
            if self._loop.time() - self._last_taken_s > _STALLED_S:
                self.close(CloseCode.OVERLOADED)
            return False
        if self._queued_bytes == 0:
            self._last_taken_s = self._loop.time()
        self._queue.append(frame)
        self._queued_bytes += len(frame)
        self._filled.set()
        return True

    def close(self, code: CloseCode) -> None:
        """Close after what is queued, or at once if the peer does not read. Idempotent."""
        if self._close_code is None:
            self._close_code = code
            self._filled.set()
            self._closing.set_result(None)

    async def run(self, serve: Coroutine[Any, Any, None]) -> None:
        """Run ``serve``, which reads, beside the writer, until either side ends; then close the socket."""
        reader = asyncio.create_task(serve)
        writer = asyncio.create_task(self._write())
        try:
            await asyncio.wait((reader, writer, self._closing), return_when=asyncio.FIRST_COMPLETED)
            if reader.done() and not reader.cancelled() and (fault := reader.exception()):
                logger.error("A connection's handler failed", exc_info=fault)
            self.close(CloseCode.GOING_AWAY)
            await asyncio.wait({writer}, timeout=_CLOSE_TIMEOUT_S)
        finally:
            await _end(reader)
            await self._shut()
            await _end(writer)

    async def _write(self) -> None:
        """Send what is queued, until the socket is to be closed and all is sent."""
        with suppress(ConnectionError):
            while True:
                await self._send_queued()
                if self.is_closing:
                    return
                self._filled.clear()
                await self._filled.wait()

    async def _send_queued(self) -> None:
        # Apart from the waiting, so that an idle connection does not keep its last frame alive.
        while self._queue and self._close_code != CloseCode.OVERLOADED:
            frame = self._queue.popleft()
            await self._response.send_frame(frame, WSMsgType.TEXT)
            self._queued_bytes -= len(frame)
            self._last_taken_s = self._loop.time()

    async def _shut(self) -> None:
        """Close the socket, within a bound, however the peer behaves."""
        transport = self._request.transport
        # All who wait to write share one future of aiohttp's: where one is cancelled, all are. So this is a
        # task of its own, and the writer is ended only after it.
        shutting = asyncio.create_task(self._response.close(code=self._close_code or CloseCode.GOING_AWAY))
        try:
            await asyncio.wait({shutting}, timeout=_CLOSE_TIMEOUT_S)
        finally:
            if transport is not None:
                transport.abort()  # Closing it would wait, for ever, for a peer that does not read.
            await _end(shutting)

    async def envelopes(self) -> AsyncIterator[Envelope | NotAMessage | InvalidEnvelope]:
        """Yield what the peer sends, also what is wrong with it, until the connection ends.

        What takes long to decode is not decoded for a stranger: nobody signs in with as much.
        """
        async for message in self._response:
            if self.is_closing:
                return
            if len(self._queue) > _BURST_FRAMES:
                # Who asks faster than the answers are written lets the writer go first.
                await asyncio.sleep(0)
            if self.is_stranger and len(message.data) > MAX_DECODED_BYTES:
                yield NotAMessage()
            elif message.type is WSMsgType.BINARY:
                yield binary_frame(message.data)
                self._count_bad_frame()
            elif message.type is WSMsgType.TEXT:
                try:
                    yield decode_envelope(message.data)
                except NotAMessage as exc:
                    yield exc
                    self._count_bad_frame()
                except InvalidEnvelope as exc:
                    yield exc

    def _count_bad_frame(self) -> None:
        now_s = self._loop.time()
        self._bad_frames = [*self._bad_frames[1 - MAX_BAD_FRAMES :], now_s]
        if len(self._bad_frames) == MAX_BAD_FRAMES and now_s - self._bad_frames[0] <= BAD_FRAME_WINDOW_S:
            self.close(CloseCode.NOT_PROTOCOL)


async def _end(task: asyncio.Task[Any]) -> None:
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
