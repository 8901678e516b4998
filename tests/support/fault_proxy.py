"""A bad network between a daemon and its relay: a TCP proxy that cuts, delays, throttles and swallows."""

import asyncio
import socket
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Final

_CHUNK_BYTES: Final = 16 * 1024
_DIAL_TIMEOUT_S: Final = 5.0


@dataclass
class FaultProxy:
    """Forwards what it is sent, as badly as it is told to. ``delay_s`` and ``bytes_per_s`` hold for each direction."""

    target_port: int
    port: int = 0
    delay_s: float = 0.0
    bytes_per_s: float = float("inf")
    # Of what comes next so many bytes get through, and then the connections are reset; None: all.
    bytes_until_reset: int | None = None
    # Connections stay open, and nothing gets through.
    is_swallowing: bool = False
    # Nobody gets any further than the connection.
    accepts_and_closes: bool = False
    accepted: int = 0
    _writers: set[asyncio.StreamWriter] = field(default_factory=set)

    @property
    def url(self) -> str:
        return f"ws://127.0.0.1:{self.port}"

    @property
    def connections(self) -> int:
        return len(self._writers) // 2

    def cut(self) -> None:
        """Reset every connection, in both directions."""
        for writer in tuple(self._writers):
            _reset(writer)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.accepted += 1
        if self.accepts_and_closes:
            _reset(writer)
            return
        try:
            async with asyncio.timeout(_DIAL_TIMEOUT_S):
                far_reader, far_writer = await asyncio.open_connection("127.0.0.1", self.target_port)
        except OSError:
            _reset(writer)
            return
        both = {writer, far_writer}
        self._writers |= both
        try:
            await asyncio.gather(self._forward(reader, far_writer), self._forward(far_reader, writer))
        finally:
            self._writers -= both
            for each in both:
                each.close()

    async def _forward(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while chunk := await reader.read(_CHUNK_BYTES):
                await asyncio.sleep(self.delay_s + len(chunk) / self.bytes_per_s)
                if self.is_swallowing:
                    continue
                if self.bytes_until_reset is not None:
                    writer.write(chunk[: self.bytes_until_reset])
                    await writer.drain()
                    self.bytes_until_reset = None
                    self.cut()
                    return
                writer.write(chunk)
                await writer.drain()
        except ConnectionError:
            pass
        writer.close()


@asynccontextmanager
async def fault_proxy(target_port: int) -> AsyncIterator[FaultProxy]:
    proxy = FaultProxy(target_port)
    server = await asyncio.start_server(proxy.serve, "127.0.0.1", 0)
    proxy.port = server.sockets[0].getsockname()[1]
    try:
        yield proxy
    finally:
        server.close()
        proxy.cut()
        await server.wait_closed()


def _reset(writer: asyncio.StreamWriter) -> None:
    """An RST instead of a goodbye (socket(7), SO_LINGER)."""
    connection = writer.get_extra_info("socket")
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()
