"""What git says while it works, as text for the asker: the newest of it, a few times a second."""

import asyncio
import codecs
import re
from collections import deque
from collections.abc import Callable
from typing import Final

from host.core.redaction import without_url_credentials

INTERVAL_S: Final = 0.25
MAX_LINES: Final = 20
MAX_LINE_CHARS: Final = 500

_CONTROL: Final = re.compile(r"\x1b\[[0-9;]*[A-Za-z]|[\x00-\x08\x0b-\x1f\x7f]")
_END_OF_LINE: Final = re.compile(r"[\r\n]")


class ProgressText:
    """Takes bytes, gives whole lines. Pure.

    A line that ends in CR is written over by the next one. Of more lines than MAX_LINES between two ``take``s the
    last are kept; what is too long for one is cut.
    """

    def __init__(self) -> None:
        self._decode = codecs.getincrementaldecoder("utf-8")(errors="replace").decode
        self._partial = ""
        self._lines: deque[str] = deque(maxlen=MAX_LINES)
        self._transient = ""

    def feed(self, data: bytes) -> None:
        left = self._partial + self._decode(data)
        while (end := _END_OF_LINE.search(left)) is not None:
            self._take_line(left[: end.start()], is_transient=end[0] == "\r")
            left = left[end.end() :]
        # What follows will not be shown, and must not begin in the middle of a URL.
        self._partial = left[: 2 * MAX_LINE_CHARS]

    def take(self) -> str:
        """The lines since the last time, the one that will be written over at their end; empty if there is none."""
        lines = [*self._lines, *([self._transient] if self._transient else [])]
        self._lines.clear()
        self._transient = ""
        return "\n".join(lines)

    def _take_line(self, text: str, *, is_transient: bool) -> None:
        line = _shown(text)
        if is_transient:
            self._transient = line or self._transient
        elif line:
            self._transient = ""
            self._lines.append(line)


class ProgressSender:
    """Sends what comes at most once in ``interval_s``. Belongs to the running event loop."""

    def __init__(self, send: Callable[[str], None], *, interval_s: float = INTERVAL_S) -> None:
        self._send = send
        self._interval_s = interval_s
        self._text = ProgressText()
        self._pause: asyncio.TimerHandle | None = None

    def feed(self, data: bytes) -> None:
        self._text.feed(data)
        if self._pause is None:
            self._send_now()

    def finish(self) -> None:
        """Send the last of it."""
        self._text.feed(b"\n")
        if self._pause is not None:
            self._pause.cancel()
        self._send_now(is_last=True)

    def _send_now(self, *, is_last: bool = False) -> None:
        self._pause = None
        text = self._text.take()
        if text:
            self._send(text)
            if not is_last:
                self._pause = asyncio.get_running_loop().call_later(self._interval_s, self._send_now)


def _shown(line: str) -> str:
    return without_url_credentials(_CONTROL.sub("", line).rstrip())[:MAX_LINE_CHARS]
