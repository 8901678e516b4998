"""What waits to be sent on the link. Open while registered, closed between links.

An answer that can't be sent is dropped: the relay has told the asker ``MACHINE_OFFLINE``
when the link broke, and who sends the request again gets the remembered answer.
"""

import asyncio
from collections import deque

from host.protocol.limits import MAX_QUEUED_BYTES


class Outbox:
    """A queue bounded in bytes. Who puts waits for room, in turn; one taker at a time."""

    def __init__(self, capacity_bytes: int = MAX_QUEUED_BYTES) -> None:
        self._capacity_bytes = capacity_bytes
        self._frames: deque[bytes] = deque()
        self._queued_bytes = 0
        self._is_open = False
        self._waiting: deque[tuple[bytes, asyncio.Future[bool]]] = deque()
        self._filled = asyncio.Event()
        self._done = asyncio.Event()
        self._done.set()

    @property
    def queued_bytes(self) -> int:
        return self._queued_bytes

    def open(self) -> None:
        self._is_open = True

    def close(self) -> None:
        """Drop what waits, and let those go on who wait for room."""
        self._is_open = False
        self._frames.clear()
        self._queued_bytes = 0
        self._filled.clear()
        self._done.set()
        while self._waiting:
            _, turn = self._waiting.popleft()
            if not turn.done():
                turn.set_result(False)

    def offer(self, frame: bytes) -> bool:
        """Queue a frame if that is possible at once; return whether it was."""
        if not self._is_open or self._waiting or not self._has_room_for(frame):
            return False
        self._append(frame)
        return True

    async def put(self, frame: bytes) -> bool:
        """Queue a frame when there is room; return whether it was queued, which a closed outbox never does."""
        if self.offer(frame):
            return True
        if not self._is_open:
            return False
        turn: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        self._waiting.append((frame, turn))
        return await turn

    async def take(self) -> bytes:
        """Wait for the next frame; its bytes are free for others as soon as it is taken.

        Who takes again has done with the frame before.
        """
        while not self._frames:
            self._done.set()
            self._filled.clear()
            await self._filled.wait()
        frame = self._frames.popleft()
        self._queued_bytes -= len(frame)
        self._admit()
        return frame

    async def flushed(self) -> None:
        """Wait until all that waits was taken and done with, or dropped because the link is down."""
        await self._done.wait()

    def _admit(self) -> None:
        while self._waiting and self._has_room_for(self._waiting[0][0]):
            frame, turn = self._waiting.popleft()
            if not turn.done():
                self._append(frame)
                turn.set_result(True)

    def _append(self, frame: bytes) -> None:
        self._frames.append(frame)
        self._queued_bytes += len(frame)
        self._filled.set()
        self._done.clear()

    def _has_room_for(self, frame: bytes) -> bool:
        # A frame larger than everything still goes, alone.
        return not self._frames or self._queued_bytes + len(frame) <= self._capacity_bytes
