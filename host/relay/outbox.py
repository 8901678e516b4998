"""What waits to be sent on the link. Open while registered, closed between links.

An answer that can't be sent is dropped: the relay has told the asker ``MACHINE_OFFLINE``
when the link broke, and who sends the request again gets the remembered answer.
"""

import asyncio
from collections import deque

from host.protocol.limits import MAX_QUEUED_BYTES


class Outbox:
    """A queue bounded in bytes; who puts waits for room."""

    def __init__(self, capacity_bytes: int = MAX_QUEUED_BYTES) -> None:
        self._capacity_bytes = capacity_bytes
        self._frames: deque[bytes] = deque()
        self._queued_bytes = 0
        self._is_open = False
        self._changed = asyncio.Condition()

    @property
    def queued_bytes(self) -> int:
        return self._queued_bytes

    async def open(self) -> None:
        async with self._changed:
            self._is_open = True

    async def close(self) -> None:
        """Drop what waits, and let those go on who wait for room."""
        async with self._changed:
            self._is_open = False
            self._frames.clear()
            self._queued_bytes = 0
            self._changed.notify_all()

    async def flushed(self) -> None:
        """Wait until all that waits was taken, or dropped because the link is down."""
        async with self._changed:
            await self._changed.wait_for(lambda: not self._frames)

    async def put(self, frame: bytes) -> bool:
        """Queue a frame when there is room; return whether it was queued, which a closed outbox never does."""
        async with self._changed:
            await self._changed.wait_for(lambda: not self._is_open or self._fits(frame))
            if not self._is_open:
                return False
            self._frames.append(frame)
            self._queued_bytes += len(frame)
            self._changed.notify_all()
            return True

    async def take(self) -> bytes:
        """Wait for the next frame; its bytes are free for others as soon as it is taken."""
        async with self._changed:
            await self._changed.wait_for(lambda: bool(self._frames))
            frame = self._frames.popleft()
            self._queued_bytes -= len(frame)
            self._changed.notify_all()
            return frame

    def _fits(self, frame: bytes) -> bool:
        return not self._frames or self._queued_bytes + len(frame) <= self._capacity_bytes
