"""Peers that do not read, do not speak, or speak slowly: docs/protocol.md, "Connections"."""

import asyncio
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any, cast

import psutil  # type: ignore[import-untyped]
import pytest

from host.protocol.envelope import Envelope
from host.protocol.limits import MAX_QUEUED_BYTES, MIB
from host.protocol.messages.auth import HOST_CLIENT_ID
from relay_stub import peer_socket
from relay_stub.client import RelayClient
from tests.support.processes import eventually
from tests.support.relay import (
    BOUND_S,
    DAEMON_PATH,
    PROJECT,
    RawSocket,
    ScriptedDaemon,
    answer_to,
    close_code,
    frame,
    masked,
    next_message,
    next_of_type,
    registration,
    running_relay,
    sign_in,
)

pytestmark = pytest.mark.slow

QUICK_HEARTBEAT = {"heartbeat_interval_s": 0.1, "heartbeat_timeout_s": 0.6}
# More than the relay keeps for one peer, and what the system keeps on the way.
OVERFLOW_FRAMES = MAX_QUEUED_BYTES // MIB + 32
BULK = "x" * MIB


async def client_hello(client: RawSocket, relay_url: str, login: str) -> None:
    tokens = await sign_in(relay_url, login)
    payload = {"protocolVersion": 1, "token": tokens.access_token}
    await client.send(frame("client_hello", requestId="hello", payload=payload))
    assert (await client.receive_message())["type"] == "client_welcome"


async def join(client: RawSocket, project_id: str) -> None:
    await client.send(frame("project_join", requestId="join", sessionId=project_id))
    assert (await client.receive_message())["type"] == "project_join_response"


async def test_a_client_that_does_not_read_is_closed_with_1013_and_others_go_on(relay_url: str) -> None:
    async with (
        ScriptedDaemon.connect(relay_url, "alice") as daemon,
        RelayClient.sign_in(relay_url, "alice") as reading,
        RawSocket.connect(relay_url) as slow,
    ):
        await client_hello(slow, relay_url, "alice")
        await join(slow, PROJECT)
        await reading.join(PROJECT)
        for number in range(OVERFLOW_FRAMES):
            await daemon.send("fs_changed", sessionId=PROJECT, payload={"seq": number, "changes": BULK})
            assert (await next_message(reading))["payload"]["seq"] == number
        assert await slow.read_to_close() == 1013
        assert await reading.projects()


async def test_a_client_that_never_reads_again_costs_the_relay_no_connection(
    relay_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(peer_socket, "_CLOSE_TIMEOUT_S", 0.1)
    async with ScriptedDaemon.connect(relay_url, "alice") as daemon, RawSocket.connect(relay_url) as slow:
        await client_hello(slow, relay_url, "alice")
        await join(slow, PROJECT)
        for _ in range(OVERFLOW_FRAMES):
            await daemon.send("fs_changed", sessionId=PROJECT, payload={"changes": BULK})
        await asyncio.to_thread(eventually, lambda: not is_held_by_the_relay(slow), BOUND_S)


async def test_a_daemon_that_does_not_read_turns_requests_away_and_is_then_closed(
    relay_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(peer_socket, "_CLOSE_TIMEOUT_S", 0.5)
    host = await sign_in(relay_url, "alice", client_id=HOST_CLIENT_ID)
    async with RawSocket.connect(relay_url, DAEMON_PATH) as daemon, RelayClient.sign_in(relay_url, "alice") as client:
        payload = registration(host.access_token)
        await daemon.send(frame("daemon_register", requestId="hello", payload=payload))
        assert (await daemon.receive_message())["type"] == "daemon_registered"
        await next_of_type(client, "daemon_status")

        for number in range(OVERFLOW_FRAMES):
            await client.send_raw(
                frame("fs_write", requestId=str(number), sessionId=PROJECT, payload={"content": BULK})
            )
        turned_away = await next_message(client)
        assert turned_away["error"]["code"] == "RATE_LIMITED"
        assert turned_away["error"]["details"]["retryAfterMs"] > 0
        assert set(turned_away) == {"type", "requestId", "sessionId", "error"}

        monkeypatch.setattr(peer_socket, "_STALLED_S", 0.0)
        await client.send_raw(frame("fs_write", requestId="last", sessionId=PROJECT, payload={"content": BULK}))
        assert (await next_of_type(client, "daemon_status"))["payload"]["connected"] is False
        assert (await answer_to(client, "fs_list", sessionId=PROJECT))["error"]["code"] == "MACHINE_OFFLINE"
        assert await daemon.read_to_close() == 1013


async def test_a_daemon_that_reads_again_was_never_closed(relay_url: str) -> None:
    host = await sign_in(relay_url, "alice", client_id=HOST_CLIENT_ID)
    async with RawSocket.connect(relay_url, DAEMON_PATH) as daemon, RelayClient.sign_in(relay_url, "alice") as client:
        await daemon.send(frame("daemon_register", requestId="hello", payload=registration(host.access_token)))
        await daemon.receive_message()
        await next_of_type(client, "daemon_status")
        for number in range(OVERFLOW_FRAMES):
            await client.send_raw(
                frame("fs_write", requestId=str(number), sessionId=PROJECT, payload={"content": BULK})
            )
        turned_away = (await next_message(client))["requestId"]
        for number in range(int(turned_away)):
            assert (await daemon.receive_message())["requestId"] == str(number)
        await client.send_raw(frame("fs_list", requestId="now", sessionId=PROJECT))
        while (await daemon.receive_message())["requestId"] != "now":
            pass


async def test_a_burst_after_a_long_silence_fills_the_queue_of_a_peer_that_has_not_stalled(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    loop = asyncio.get_running_loop()
    daemon = peer_socket.PeerSocket(cast("Any", None), cast("Any", None))
    later_s = loop.time() + 3600
    monkeypatch.setattr(loop, "time", lambda: later_s)
    while daemon.offer(Envelope("fs_list")):
        pass
    assert not daemon.is_closing


async def test_a_peer_that_says_nothing_at_all_is_dropped(tmp_path: Path) -> None:
    async with running_relay(tmp_path / "relay", **QUICK_HEARTBEAT) as url, RawSocket.connect(url) as silent:
        await silent.read_to_end()


async def test_a_silent_daemons_machine_is_offline(tmp_path: Path) -> None:
    async with (
        running_relay(tmp_path / "relay", **QUICK_HEARTBEAT) as url,
        RelayClient.sign_in(url, "alice") as client,
    ):
        host = await sign_in(url, "alice", client_id=HOST_CLIENT_ID)
        async with RawSocket.connect(url, DAEMON_PATH) as daemon:
            await daemon.send(frame("daemon_register", requestId="hello", payload=registration(host.access_token)))
            assert (await next_of_type(client, "daemon_status"))["payload"]["connected"] is True
            assert (await next_of_type(client, "daemon_status"))["payload"]["connected"] is False
        assert await client.projects(), "Who answers pings is never dropped."


async def test_a_peer_whose_bytes_come_slowly_is_not_dropped(tmp_path: Path) -> None:
    async with running_relay(tmp_path / "relay", **QUICK_HEARTBEAT) as url, RawSocket.connect(url) as slow:
        await client_hello(slow, url, "alice")
        # No pong is sent, and the message takes longer than a heartbeat and its time-out.
        for byte in masked(frame("machines_list", requestId="slow")):
            slow.writer.write(bytes([byte]))
            await asyncio.sleep(0.02)
        assert (await slow.receive_message())["requestId"] == "slow"


async def test_a_relay_that_stops_says_so_with_1001_and_leaves_no_task_and_no_socket(tmp_path: Path) -> None:
    tasks_before = asyncio.all_tasks()
    sockets_before = sockets_of_this_process()
    async with AsyncExitStack() as peers:
        async with running_relay(tmp_path / "relay") as url:
            daemon = await peers.enter_async_context(ScriptedDaemon.connect(url, "alice"))
            client = await peers.enter_async_context(RelayClient.sign_in(url, "alice"))
            stranger = await peers.enter_async_context(RelayClient.connect(url))
            await client.send_raw(frame("fs_list", requestId="unanswered", sessionId=PROJECT))
            await daemon.next_request()
        for peer in (daemon.peer, client, stranger):
            assert await close_code(peer) == 1001
    assert asyncio.all_tasks() == tasks_before
    assert sockets_of_this_process() <= sockets_before


async def test_a_relay_stops_though_a_peer_reads_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(peer_socket, "_CLOSE_TIMEOUT_S", 0.1)
    tasks_before = asyncio.all_tasks()
    async with AsyncExitStack() as peers, asyncio.timeout(BOUND_S):
        async with running_relay(tmp_path / "relay") as url:
            daemon = await peers.enter_async_context(ScriptedDaemon.connect(url, "alice"))
            slow = await peers.enter_async_context(RawSocket.connect(url))
            await client_hello(slow, url, "alice")
            await join(slow, PROJECT)
            for _ in range(32):
                await daemon.send("fs_changed", sessionId=PROJECT, payload={"changes": BULK})
        assert not is_held_by_the_relay(slow)
    assert asyncio.all_tasks() == tasks_before


def is_held_by_the_relay(peer: RawSocket) -> bool:
    """Whether the relay, which runs in this process, still has its end of the connection."""
    port = peer.writer.get_extra_info("sockname")[1]
    return any(connection.raddr and connection.raddr.port == port for connection in open_connections())


def sockets_of_this_process() -> set[tuple[object, object]]:
    return {(connection.laddr, connection.raddr) for connection in open_connections()}


def open_connections() -> list[Any]:
    return [connection for connection in psutil.Process().net_connections("tcp") if connection.fd != -1]
