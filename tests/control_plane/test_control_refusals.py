import asyncio
import gzip
import os
import subprocess
import sys
from collections.abc import AsyncIterator

import pytest

from host.control_plane.replies import MAX_BODY_BYTES
from host.control_plane.server import MAX_CONNECTIONS, ControlServer
from host.core.home import HostPaths
from tests.control_plane.daemon_double import RecordingDaemon, exchange, http_request, read_result

only_as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can act as another user")


@pytest.fixture
async def impatient(daemon: RecordingDaemon, paths: HostPaths) -> AsyncIterator[ControlServer]:
    server = ControlServer(daemon, paths.control_token, 0, read_timeout_s=0.5)
    await server.start()
    yield server
    await server.stop()


@pytest.mark.parametrize("path", ["/status", "/health", "/nothing"])
@pytest.mark.parametrize("host", ["evil.example:{port}", "127.0.0.1", "127.0.0.1:1", "localhost.evil.example:{port}"])
async def test_a_name_that_was_rebound_to_this_machine_is_refused(server: ControlServer, path: str, host: str) -> None:
    host = host.format(port=server.port)
    result = await exchange(server.port, http_request("GET", path, server.port, host=host))

    assert (result.status, result.json["error"]["code"]) == (403, "UNAUTHORIZED")


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "[::1]"])
async def test_this_machines_own_names_are_served(server: ControlServer, host: str) -> None:
    request = http_request("GET", "/status", server.port, host=f"{host}:{server.port}")

    assert (await exchange(server.port, request)).status == 200


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "https://evil.example"},
        {"Origin": "null", "Sec_Fetch_Site": "cross-site", "Sec_Fetch_Mode": "no-cors"},
        {"Sec_Fetch_Site": "same-site"},
    ],
)
@pytest.mark.parametrize("method", ["POST", "OPTIONS"])
async def test_a_web_page_can_not_stop_the_daemon_even_with_the_token(
    server: ControlServer, daemon: RecordingDaemon, paths: HostPaths, headers: dict[str, str], method: str
) -> None:
    authorization = f"Bearer {paths.control_token.read_text()}"
    request = http_request(method, "/stop", server.port, b"{}", Authorization=authorization, **headers)

    result = await exchange(server.port, request)

    assert result.status == 403
    assert daemon.calls == []
    assert not [name for name in result.headers if name.startswith("access-control")]


async def test_an_expectation_or_an_absolute_target_does_not_pass_by_the_guard(server: ControlServer) -> None:
    absolute = http_request("GET", f"http://127.0.0.1:{server.port}/status", server.port, host="evil.example")
    expecting = http_request("POST", "/stop", server.port, b"{}", Expect="100-continue", Origin="https://evil.example")

    assert (await exchange(server.port, absolute)).status == 403
    assert (await exchange(server.port, expecting)).status == 403


@pytest.mark.parametrize("wanted", ["websocket", "h2c"])
async def test_an_upgrade_is_refused(server: ControlServer, wanted: str) -> None:
    request = http_request("GET", "/status", server.port, Connection="Upgrade", Upgrade=wanted)

    assert (await exchange(server.port, request)).status == 400


@pytest.mark.parametrize("request_line", [b"GET /status", b"GET /status HTTP/1.1\r\nHost: x", b"\x16\x03\x01\x02"])
async def test_what_is_no_http_is_answered_in_the_same_shape_or_not_at_all(
    server: ControlServer, request_line: bytes
) -> None:
    result = await exchange(server.port, request_line + b"\r\nbad header\x00\r\n\r\n")

    assert (result.status, result.json["error"]["code"]) == (400, "INVALID_REQUEST")
    assert "server" not in result.headers


async def test_no_answer_says_what_made_it_or_lets_a_browser_read_or_keep_it(server: ControlServer) -> None:
    for path in ("/health", "/status", "/nothing"):
        result = await exchange(server.port, http_request("GET", path, server.port))
        assert "server" not in result.headers
        assert result.headers["cache-control"] == "no-store"
        assert not [name for name in result.headers if name.startswith("access-control")]


AS_ANOTHER_USER = """
import os, socket, sys
os.setgroups([])
os.setgid(65534)
os.setuid(65534)
with socket.socket() as connection:
    connection.connect(("127.0.0.1", int(sys.argv[1])))
    connection.sendall(sys.stdin.buffer.read())
    sys.stdout.write(connection.recv(65536).decode().split()[1])
"""


async def ask_as_another_user(port: int, request: bytes) -> int:
    command = [sys.executable, "-I", "-S", "-c", AS_ANOTHER_USER, str(port)]
    done = await asyncio.to_thread(subprocess.run, command, input=request, capture_output=True, check=True)
    return int(done.stdout)


@only_as_root
@pytest.mark.parametrize("path", ["/status", "/stop", "/nothing"])
async def test_another_user_of_the_machine_is_refused(
    server: ControlServer, daemon: RecordingDaemon, path: str
) -> None:
    assert await ask_as_another_user(server.port, http_request("POST", path, server.port, b"{}")) == 401
    wrong = http_request("POST", path, server.port, b"{}", Authorization="Bearer wrong")
    assert await ask_as_another_user(server.port, wrong) == 401
    assert daemon.calls == []


@only_as_root
async def test_another_user_gets_health_and_with_the_token_everything(server: ControlServer, paths: HostPaths) -> None:
    token = f"Bearer {paths.control_token.read_text()}"

    assert await ask_as_another_user(server.port, http_request("GET", "/health", server.port)) == 200
    assert (
        await ask_as_another_user(server.port, http_request("GET", "/status", server.port, Authorization=token)) == 200
    )


async def test_a_body_over_the_limit_is_refused(server: ControlServer, daemon: RecordingDaemon) -> None:
    declared = http_request("POST", "/stop", server.port, b" " * (MAX_BODY_BYTES + 1))
    chunk = b"10000\r\n" + b" " * 0x10000 + b"\r\n"
    chunked = http_request("POST", "/stop", server.port, Transfer_Encoding="chunked") + chunk + chunk + b"0\r\n\r\n"

    assert (await exchange(server.port, declared)).status == 413
    assert (await exchange(server.port, chunked)).status == 413
    assert daemon.calls == []


async def test_a_chunked_body_is_read_and_a_broken_one_refused(server: ControlServer, daemon: RecordingDaemon) -> None:
    head = http_request("POST", "/stop", server.port, Transfer_Encoding="chunked")

    assert (await exchange(server.port, head + b'8\r\n{"force"\r\n6\r\n:true}\r\n0\r\n\r\n')).status == 202
    assert (await exchange(server.port, head + b"zz\r\n{}\r\n0\r\n\r\n")).status == 400
    assert daemon.calls == [("stop", True)]


async def test_a_compressed_body_is_never_unpacked(server: ControlServer, daemon: RecordingDaemon) -> None:
    body = gzip.compress(b'{"force":true}')
    result = await exchange(server.port, http_request("POST", "/stop", server.port, body, Content_Encoding="gzip"))

    assert result.status == 400
    assert daemon.calls == []


async def test_headers_over_the_limit_are_refused(server: ControlServer) -> None:
    long = http_request("GET", "/health", server.port, X_Long="x" * 20_000)
    many = http_request("GET", "/health", server.port, None, host=None, **{f"X-{number}": "x" for number in range(200)})

    assert (await exchange(server.port, long)).status == 400
    assert (await exchange(server.port, many)).status == 400


async def test_pipelined_requests_are_answered_in_order_and_each_is_guarded(
    server: ControlServer, daemon: RecordingDaemon
) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    writer.write(http_request("GET", "/health", server.port))
    writer.write(http_request("POST", "/re-register", server.port))
    writer.write(http_request("POST", "/stop", server.port, b"{}", Origin="https://evil.example"))
    async with asyncio.timeout(10):
        statuses = [(await read_result(reader)).status for _ in range(3)]
    writer.close()

    assert statuses == [200, 202, 403]
    assert daemon.calls == [("re_register",)]


async def test_a_header_that_does_not_end_is_cut_off_however_it_trickles(impatient: ControlServer) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", impatient.port)
    writer.write(b"GET /health HTTP/1.1\r\n")
    trickle = asyncio.create_task(send_for_ever(writer))

    async with asyncio.timeout(5):
        with pytest.raises((asyncio.IncompleteReadError, ConnectionError)):
            await reader.readuntil(b"\r\n\r\n")
    trickle.cancel()
    writer.close()


async def send_for_ever(writer: asyncio.StreamWriter) -> None:
    while True:
        writer.write(b"X: y\r\n")
        await asyncio.sleep(0.03)


async def test_a_body_that_does_not_come_is_not_waited_for(impatient: ControlServer, daemon: RecordingDaemon) -> None:
    request = http_request("POST", "/stop", impatient.port, Content_Length="2") + b"{"

    assert (await exchange(impatient.port, request)).status == 408
    assert daemon.calls == []


async def test_there_is_a_limit_to_connections(server: ControlServer) -> None:
    idle = [await asyncio.open_connection("127.0.0.1", server.port) for _ in range(MAX_CONNECTIONS)]
    with pytest.raises((asyncio.IncompleteReadError, ConnectionError)):
        await exchange(server.port, http_request("GET", "/health", server.port))

    reader, writer = idle[0]
    writer.write(http_request("GET", "/health", server.port, Connection="close"))
    assert (await read_result(reader)).status == 200
    assert await reader.read() == b""
    assert (await exchange(server.port, http_request("GET", "/health", server.port))).status == 200
    for _, writer in idle:
        writer.close()
