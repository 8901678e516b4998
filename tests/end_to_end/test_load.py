"""What one phone does, however much or wrong it is, harms neither the daemon nor the other phones."""

import asyncio
import os
import time
from typing import Final

import aiohttp
import pytest

from host.protocol.envelope import Envelope, encode_envelope
from relay_stub.client import RelayClient, authorize
from tests.end_to_end.served import Phone, Served
from tests.support.processes import resident_bytes

pytestmark = pytest.mark.slow

MIB: Final = 1024 * 1024


async def test_a_phone_that_does_not_read_holds_up_nobody_else(served: Served, phone: Phone) -> None:
    (served.root / "large.bin").write_bytes(os.urandom(10 * MIB))
    asked = 12  # more than the relay keeps for one connection
    async with aiohttp.ClientSession() as http:
        code, verifier, redirect_uri = await authorize(http, served.relay.url, "ada")
        async with http.ws_connect(f"{served.relay.url}/ws/client", max_msg_size=0) as slow:
            exchange = {"code": code, "codeVerifier": verifier, "redirectUri": redirect_uri}
            await slow.send_json({"type": "auth_exchange", "requestId": "1", "payload": exchange})
            token = (await slow.receive_json())["payload"]["accessToken"]
            hello = {"type": "client_hello", "requestId": "2", "payload": {"protocolVersion": 1, "token": token}}
            await slow.send_json(hello)
            assert (await slow.receive_json())["type"] == "client_welcome"
            # From here on it only asks.
            for number in range(asked):
                read = {"type": "fs_read", "requestId": f"read-{number}", "sessionId": served.project_id}
                await slow.send_json({**read, "payload": {"path": "large.bin"}})
            slowest_s = 0.0
            for _ in range(50):
                began_s = time.monotonic()
                assert (await phone.read("README.md"))["content"] == "# Read me\n"
                slowest_s = max(slowest_s, time.monotonic() - began_s)
            assert slowest_s < 5.0
            answered = 0
            async with asyncio.timeout(30):
                async for frame in slow:
                    answered += frame.type is aiohttp.WSMsgType.TEXT
            # It was not kept alive at the cost of the others.
            assert answered < asked
            assert slow.close_code in (1013, aiohttp.WSCloseCode.ABNORMAL_CLOSURE)


async def test_the_daemons_memory_stays_flat_over_many_large_reads(served: Served, phone: Phone) -> None:
    (served.root / "ten.bin").write_bytes(os.urandom(10 * MIB))

    async def read_often(times: int) -> int:
        for _ in range(times):
            await phone.read("ten.bin")
        return resident_bytes(served.daemon_pid)

    warm = await read_often(10)
    later = await read_often(40)
    # A quarter of what went through: allocators keep some of it, each of their arenas its own.
    assert later - warm < 100 * MIB, f"{warm // MIB} MB became {later // MIB} MB"


async def test_frames_that_are_no_messages_do_not_harm_the_daemon(served: Served, phone: Phone) -> None:
    async with RelayClient.sign_in(served.relay.url, "ada") as other:
        for raw in (b"{}", b"[]", b"null", b"\xff", b'{"type":1}', b'{"type":"fs_read"'):
            await other.send_raw(raw)
        odd = Envelope("fs_nonsense", request_id="odd", session_id=served.project_id)
        await other.send_raw(encode_envelope(odd))
        async with asyncio.timeout(10):
            while (answer := await other.events.get()).get("requestId") != "odd":
                assert answer["error"]["code"] == "INVALID_REQUEST"
        assert answer["error"]["code"] == "UNSUPPORTED"
    assert (await phone.read("README.md"))["content"] == "# Read me\n"
    assert served.machine.daemon_pid == served.daemon_pid
