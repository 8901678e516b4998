"""Pieces of a text on their way to the phone: few large ones where many small ones come."""

import asyncio
from collections.abc import Callable
from typing import Final

INTERVAL_S: Final = 0.05
MAX_HELD_CHARS: Final = 64 * 1024


class Deltas:
    """The first piece goes at once, what comes within ``interval_s`` of it goes together.

    ``send`` returns whether it could be sent. What can't is tried again with what comes next; over 64 Ki
    characters of it are dropped, because the whole text comes later.
    """

    def __init__(self, send: Callable[[str], bool], *, interval_s: float = INTERVAL_S) -> None:
        self._send = send
        self._interval_s = interval_s
        self._held: list[str] = []
        self._held_chars = 0
        self._timer: asyncio.TimerHandle | None = None

    def add(self, text: str) -> None:
        self._held.append(text)
        self._held_chars += len(text)
        if self._timer is None:
            self._try()

    def flush(self) -> None:
        """Send what is held, or drop it: something else follows."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._held:
            self._send("".join(self._held))
            self._forget()

    def _try(self) -> None:
        self._timer = None
        if not self._held:
            return
        if self._send("".join(self._held)) or self._held_chars > MAX_HELD_CHARS:
            self._forget()
        self._timer = asyncio.get_running_loop().call_later(self._interval_s, self._try)

    def _forget(self) -> None:
        self._held.clear()
        self._held_chars = 0
