"""A run's output, from bytes as they come to text as it is sent. Pure.

At most 300 KiB of text are sent, cut only between characters; what follows is drained, and
only its last 8 KiB are kept, for the run's end.
"""

import codecs
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final, Literal

from host.protocol.limits import KIB

Channel = Literal["stdout", "stderr"]

MAX_SENT_BYTES: Final = 300 * KIB
MAX_TAIL_BYTES: Final = 8 * KIB


@dataclass(frozen=True)
class Chunk:
    channel: Channel
    text: str


def _decoder() -> codecs.IncrementalDecoder:
    return codecs.getincrementaldecoder("utf-8")(errors="replace")


@dataclass
class Output:
    """Takes bytes, gives chunks. ``truncated`` once something was not sent."""

    max_sent_bytes: int = MAX_SENT_BYTES
    truncated: bool = False
    _sent_bytes: int = 0
    _waiting: list[Chunk] = field(default_factory=list)
    _tail: bytes = b""
    _decoders: dict[Channel, codecs.IncrementalDecoder] = field(
        default_factory=lambda: {"stdout": _decoder(), "stderr": _decoder()}
    )

    def feed(self, channel: Channel, data: bytes) -> None:
        """More output. Half a character waits for its other half."""
        self._take(channel, data, is_last=False)

    def finish(self) -> None:
        """No more comes: what is half is replaced."""
        for channel in self._decoders:
            self._take(channel, b"", is_last=True)

    def chunks(self) -> list[Chunk]:
        """What came since the last time: neighbours of one channel as one chunk."""
        waiting, self._waiting = self._waiting, []
        return list(_joined(waiting))

    @property
    def has_chunks(self) -> bool:
        return bool(self._waiting)

    @property
    def tail(self) -> str:
        """The last of what there was, where something was not sent."""
        return self._tail.decode("utf-8", errors="ignore")

    def _take(self, channel: Channel, data: bytes, *, is_last: bool) -> None:
        if self.truncated:
            # Past the limit nothing is decoded any more: a flood must cost little.
            self._keep_tail(data)
            return
        text = self._decoders[channel].decode(data, is_last)
        self._keep_tail(text.encode())
        self._send(channel, text)

    def _send(self, channel: Channel, text: str) -> None:
        encoded = text.encode()
        room = self.max_sent_bytes - self._sent_bytes
        if len(encoded) > room:
            self.truncated = True
            text = encoded[:room].decode("utf-8", errors="ignore")
        if text:
            self._sent_bytes += min(len(encoded), room)
            self._waiting.append(Chunk(channel, text))

    def _keep_tail(self, data: bytes) -> None:
        self._tail = (self._tail + data)[-MAX_TAIL_BYTES:] if len(data) < MAX_TAIL_BYTES else data[-MAX_TAIL_BYTES:]


def _joined(chunks: list[Chunk]) -> Iterator[Chunk]:
    """Neighbours of one channel put together."""
    start = 0
    for index in range(1, len(chunks) + 1):
        if index == len(chunks) or chunks[index].channel != chunks[start].channel:
            yield Chunk(chunks[start].channel, "".join(chunk.text for chunk in chunks[start:index]))
            start = index
