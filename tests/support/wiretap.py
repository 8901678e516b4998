"""A listener between the relay and everybody else, which keeps what the relay said."""

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field


@dataclass
class Wiretap:
    """``port`` is where to connect instead of to the relay at ``relay_port``. What the relay sends is not masked."""

    relay_port: int
    port: int = 0
    _heard: list[bytearray] = field(default_factory=list)

    @asynccontextmanager
    async def listening(self) -> AsyncIterator["Wiretap"]:
        server = await asyncio.start_server(self._pass_on, "127.0.0.1", 0)
        self.port = server.sockets[0].getsockname()[1]
        async with server:
            yield self

    @property
    def url(self) -> str:
        return f"ws://127.0.0.1:{self.port}"

    def members(self, name: str) -> set[str]:
        """Every value that the relay sent under this name."""
        pattern = re.compile(rb'"' + name.encode() + rb'":"([^"]+)"')
        return {value.decode() for heard in self._heard for value in pattern.findall(heard)}

    def authorization_codes(self) -> set[str]:
        """Every code that the relay gave a browser to carry back."""
        pattern = re.compile(rb"Location: [^\r]*[?&]code=([^&\r]+)")
        return {value.decode() for heard in self._heard for value in pattern.findall(heard)}

    async def _pass_on(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heard = bytearray()
        self._heard.append(heard)
        with suppress(ConnectionError):
            relay_reader, relay_writer = await asyncio.open_connection("127.0.0.1", self.relay_port)
            await asyncio.gather(_copy(reader, relay_writer), _copy(relay_reader, writer, heard))
        writer.close()


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, heard: bytearray | None = None) -> None:
    try:
        while data := await reader.read(65536):
            if heard is not None:
                heard += data
            writer.write(data)
            await writer.drain()
    finally:
        with suppress(ConnectionError):
            writer.close()
