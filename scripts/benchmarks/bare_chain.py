"""The floor of the link: a relay that only passes bytes on, and a daemon that only answers, each a process.

Run as ``python -m scripts.benchmarks.bare_chain relay|daemon URL``. The libraries and their settings
are those of the real ones. The daemon also serves behind a real relay: its first line on stdin is
the frame it begins with, if any.
"""

import asyncio
import sys

import uvloop
from aiohttp import WSMsgType, web
from websockets.asyncio.client import connect

from host.protocol.limits import MAX_FRAME_BYTES

READY = "ready"


class BareRelay:
    """One daemon, and the client that came last."""

    def __init__(self) -> None:
        self._daemon = self._client = web.WebSocketResponse()

    async def serve_daemon(self, request: web.Request) -> web.WebSocketResponse:
        self._daemon = socket = await _accepted(request)
        async for message in socket:
            await self._client.send_frame(message.data, WSMsgType.TEXT)
        return socket

    async def serve_client(self, request: web.Request) -> web.WebSocketResponse:
        self._client = socket = await _accepted(request)
        async for message in socket:
            await self._daemon.send_frame(message.data, WSMsgType.TEXT)
        return socket


async def _accepted(request: web.Request) -> web.WebSocketResponse:
    socket = web.WebSocketResponse(max_msg_size=MAX_FRAME_BYTES, compress=False, decode_text=False)
    await socket.prepare(request)
    return socket


async def run_relay() -> None:
    """Serve until killed; prints its URL."""
    relay = BareRelay()
    app = web.Application()
    app.router.add_get("/ws/daemon", relay.serve_daemon)
    app.router.add_get("/ws/client", relay.serve_client)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    print(f"ws://127.0.0.1:{runner.addresses[0][1]}", flush=True)
    await asyncio.Event().wait()


async def run_daemon(relay_url: str, first_frame: bytes) -> None:
    """Answer whatever comes with itself, as ``<type>_response``, until killed."""
    async with connect(f"{relay_url}/ws/daemon", compression=None, max_size=None, ping_interval=None) as socket:
        if first_frame:
            await socket.send(first_frame, text=True)
            await socket.recv()
        print(READY, flush=True)
        while True:
            frame = await socket.recv(decode=False)
            await socket.send(frame.replace(b'","', b'_response","', 1), text=True)


if __name__ == "__main__":
    if sys.argv[1] == "relay":
        uvloop.run(run_relay())
    else:
        asyncio.run(run_daemon(sys.argv[2], sys.stdin.buffer.readline().strip()))
