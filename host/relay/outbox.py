"""What waits to be sent on the link. Open while registered, closed between links.

An answer that can't be sent is dropped: the relay has told the asker ``MACHINE_OFFLINE``
when the link broke, and who sends the request again gets the remembered answer. Only the end
of a command is kept for the next link, because the relay goes on waiting for it.
"""

import asyncio
from collections import deque
from typing import NamedTuple

from host.protocol.limits import MAX_KEPT_FRAMES, MAX_QUEUED_BYTES


class _Item(NamedTuple):
    frame: bytes
    keep: bool


class Outbox:
    """A queue bounded in bytes. Who puts waits for room, in turn; one taker at a time."""

    def __init__(self, capacity_bytes: int = MAX_QUEUED_BYTES) -> None:
        self._capacity_bytes = capacity_bytes
        self._items: deque[_Item] = deque()
        self._in_hand: _Item | None = None
        # What a closed outbox keeps until it is opened again.
        self._kept: deque[_Item] = deque(maxlen=MAX_KEPT_FRAMES)
        self._queued_bytes = 0
        self._is_open = False
        self._waiting: deque[tuple[_Item, asyncio.Future[bool]]] = deque()
        self._filled = asyncio.Event()
        self._done = asyncio.Event()
        self._done.set()

    @property
    def queued_bytes(self) -> int:
        return self._queued_bytes

    def open(self) -> None:
        self._is_open = True
        while self._kept:
            self._append(self._kept.popleft())

    def close(self) -> None:
        """Drop what waits, but for what is to be kept, and let those go on who wait for room."""
        self._is_open = False
        unsent = [*([self._in_hand] if self._in_hand else []), *self._items, *(item for item, _ in self._waiting)]
        # What was in hand may have arrived: the relay drops a second copy.
        self._kept.extend(item for item in unsent if item.keep)
        self._items.clear()
        self._in_hand = None
        self._queued_bytes = 0
        self._filled.clear()
        self._done.set()
        while self._waiting:
            item, turn = self._waiting.popleft()
            if not turn.done():
                turn.set_result(item.keep)

    def offer(self, frame: bytes) -> bool:
        """Queue a frame if that is possible at once; return whether it was."""
        return self._offer(_Item(frame, keep=False))

    async def put(self, frame: bytes, *, keep: bool = False) -> bool:
        """Queue a frame when there is room; return whether it was queued.

        A closed outbox takes only what it shall ``keep`` until it opens again: small frames, of which the
        oldest go when there are too many.
        """
        item = _Item(frame, keep)
        if self._offer(item):
            return True
        if not self._is_open:
            if keep:
                self._kept.append(item)
            return keep
        turn: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        self._waiting.append((item, turn))
        return await turn

    async def take(self) -> bytes:
        """Wait for the next frame; its bytes are free for others as soon as it is taken.

        Who takes again has done with the frame before.
        """
        self._in_hand = None
        while not self._items:
            self._done.set()
            self._filled.clear()
            await self._filled.wait()
        self._in_hand = self._items.popleft()
        self._queued_bytes -= len(self._in_hand.frame)
        self._admit()
        return self._in_hand.frame

    async def flushed(self) -> None:
        """Wait until all that waits was taken and done with, or dropped because the link is down."""
        await self._done.wait()

    def _offer(self, item: _Item) -> bool:
        if not self._is_open or self._waiting or not self._has_room_for(item):
            return False
        self._append(item)
        return True

    def _admit(self) -> None:
        while self._waiting and self._has_room_for(self._waiting[0][0]):
            item, turn = self._waiting.popleft()
            if not turn.done():
                self._append(item)
                turn.set_result(True)

    def _append(self, item: _Item) -> None:
        self._items.append(item)
        self._queued_bytes += len(item.frame)
        self._filled.set()
        self._done.clear()

    def _has_room_for(self, item: _Item) -> bool:
        # A frame larger than everything still goes, alone.
        return not self._items or self._queued_bytes + len(item.frame) <= self._capacity_bytes
