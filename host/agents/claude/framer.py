"""The CLI's output cut into lines. Pure."""

from dataclasses import dataclass, field
from typing import Final

from host.protocol.limits import MIB

# Overwriting a file of 2 MB makes a line of 4 MB: its content, what it was, and the difference.
MAX_LINE_BYTES: Final = 64 * MIB


@dataclass
class Framer:
    """Takes pieces of any size, gives the whole lines among them, without their ends.

    ``dropped`` counts lines over ``max_line_bytes``: they are passed over, never kept.
    """

    max_line_bytes: int = MAX_LINE_BYTES
    dropped: int = 0
    _pieces: list[bytes] = field(default_factory=list)
    _kept_bytes: int = 0
    _is_dropping: bool = False

    def feed(self, piece: bytes) -> list[bytes]:
        """The lines that ended with this piece. Only \\n ends one: JSON may hold any other separator as it is."""
        *ended, rest = piece.split(b"\n")
        lines = [line for end in ended if (line := self._end(end))]
        self._keep(rest)
        return lines

    def _end(self, end: bytes) -> bytes:
        """The line that this is the end of; empty for one that was dropped."""
        self._keep(end)
        line = b"".join(self._pieces)
        self._is_dropping = False
        self._forget()
        return line

    def _keep(self, piece: bytes) -> None:
        if self._is_dropping or not piece:
            return
        if self._kept_bytes + len(piece) > self.max_line_bytes:
            self.dropped += 1
            self._is_dropping = True
            self._forget()
            return
        self._pieces.append(piece)
        self._kept_bytes += len(piece)

    def _forget(self) -> None:
        self._pieces.clear()
        self._kept_bytes = 0
