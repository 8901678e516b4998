"""The way of what was seen, from the thread that saw it to the event loop."""

import asyncio
import threading
from collections import deque
from contextlib import suppress
from enum import Enum, auto
from itertools import groupby
from typing import Final

from host.watch.port import MAX_CHANGES_A_CALL, STARTING, Change, WatchListener, WatchState

# Of one project; past it a listener that is that far behind is told that changes were lost.
_MAX_WAITING: Final = 50_000


class Signal(Enum):
    LOST = auto()
    GIT_CHANGED = auto()


Letter = Change | Signal | WatchState


class Mailbox:
    """Of one listener. Made on its event loop; ``put`` is for one other thread, ``close`` for the loop again."""

    def __init__(self, listener: WatchListener, max_waiting: int = _MAX_WAITING) -> None:
        self.state = STARTING
        self._loop = asyncio.get_running_loop()
        self._listener = listener
        self._max_waiting = max_waiting
        self._lock = threading.Lock()
        self._waiting: deque[Letter] = deque()
        self._is_delivering = False
        self.is_closed = False

    def put(self, letters: list[Letter]) -> None:
        """Deliver them, in order."""
        with self._lock:
            self._waiting.extend(letters)
            if len(self._waiting) > self._max_waiting:
                self._shorten()
            if self._is_delivering or self.is_closed:
                return
            self._is_delivering = True
        # A loop that was closed has no listeners any more.
        with suppress(RuntimeError):
            self._loop.call_soon_threadsafe(self._deliver)

    def close(self) -> None:
        """Nothing is delivered from now on."""
        self.is_closed = True

    def _shorten(self) -> None:
        kept = [letter for letter in self._waiting if not isinstance(letter, Change | Signal)]
        self._waiting = deque([*kept, Signal.LOST, Signal.GIT_CHANGED])

    def _deliver(self) -> None:
        """A part of it, so that the loop goes on with others between the parts."""
        with self._lock:
            taken = [self._waiting.popleft() for _ in range(min(len(self._waiting), MAX_CHANGES_A_CALL))]
            self._is_delivering = bool(self._waiting)
            if self._is_delivering:
                self._loop.call_soon(self._deliver)
        for changes, letters in groupby(taken, key=lambda letter: isinstance(letter, Change)):
            if changes:
                self._tell_changes([letter for letter in letters if isinstance(letter, Change)])
            else:
                for letter in letters:
                    self._tell(letter)

    def _tell_changes(self, changes: list[Change]) -> None:
        if not self.is_closed:
            self._listener.changed(changes)

    def _tell(self, letter: Letter) -> None:
        if self.is_closed:
            return
        if isinstance(letter, WatchState):
            self.state = letter
            self._listener.state_changed(letter)
        elif letter is Signal.LOST:
            self._listener.lost()
        else:
            self._listener.git_changed()
