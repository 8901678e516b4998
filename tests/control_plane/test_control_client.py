import asyncio
import json
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager

import pytest

from host.control_plane.client import Answer, ControlClient, DaemonNotRunning, DaemonUnresponsive, ForeignListener
from host.control_plane.http_connection import MAX_ANSWER_BYTES, MAX_HEADER_BYTES
from host.control_plane.server import ControlServer
from host.core.home import HostPaths
from host.core.instance_lock import InstanceLock
from tests.control_plane.daemon_double import RecordingDaemon

TOKEN = "the-token-that-no-stranger-may-see"


@pytest.fixture
def running(paths: HostPaths) -> Iterator[InstanceLock]:
    lock = InstanceLock.acquire(paths.pid_file)
    yield lock
    lock.release()


async def ask(
    paths: HostPaths, port: int, method: str = "GET", path: str = "/status", body: object = None, timeout_s: float = 5
) -> Answer:
    client = ControlClient(paths, port)
    return await asyncio.to_thread(client.request, method, path, body, timeout_s=timeout_s)


class Squatter:
    """Listens where the daemon should, answers each connection with ``answer``, and records what it is told."""

    def __init__(self, answer: bytes, *, ends: bool) -> None:
        self.heard = b""
        self.connections = 0
        self._answer = answer
        self._ends = ends

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        try:
            self.heard += await reader.readuntil(b"\r\n\r\n")
            writer.write(await self.answer_to(self.heard))
            if self._ends:
                writer.write_eof()
            self.heard += await reader.read()
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    async def answer_to(self, _request: bytes) -> bytes:
        return self._answer


class Relaying(Squatter):
    """Has the challenge answered by the real daemon, which listens on another port."""

    def __init__(self, real_port: int) -> None:
        super().__init__(b"", ends=False)
        self._real_port = real_port

    async def answer_to(self, request: bytes) -> bytes:
        reader, writer = await asyncio.open_connection("127.0.0.1", self._real_port)
        lines = [line for line in request.split(b"\r\n") if not line.startswith(b"Host:")]
        writer.write(b"\r\n".join([lines[0], b"Host: 127.0.0.1:%d" % self._real_port, *lines[1:]]))
        answer = await reader.readuntil(b"\r\n\r\n")
        writer.close()
        return answer


@asynccontextmanager
async def squatting(squatter: Squatter) -> AsyncIterator[int]:
    server = await asyncio.start_server(squatter.serve, "127.0.0.1", 0)
    yield server.sockets[0].getsockname()[1]
    server.close()
    await server.wait_closed()


@pytest.mark.usefixtures("running")
async def test_the_client_gets_the_daemons_answers(
    server: ControlServer, paths: HostPaths, daemon: RecordingDaemon
) -> None:
    status = await ask(paths, server.port)
    label = await ask(paths, server.port, "POST", "/machine-label", {"label": "läp"})
    removed = await ask(paths, server.port, "DELETE", "/projects/proj_1")
    stopped = await ask(paths, server.port, "POST", "/stop", {"force": True})

    assert (status.status, json.loads(status.body)["machineLabel"]) == (200, "desk")
    assert (label.status, json.loads(label.body)) == (200, {"label": "läp"})
    assert (removed.status, removed.body) == (204, b"")
    assert (stopped.status, stopped.body) == (202, b"")
    assert daemon.calls == [("remove", "proj_1"), ("stop", True)]


@pytest.mark.usefixtures("running")
async def test_a_refusal_is_an_answer(server: ControlServer, paths: HostPaths) -> None:
    answer = await ask(paths, server.port, "POST", "/projects", {"path": "/src/app/inner"})

    assert answer.status == 409
    assert json.loads(answer.body)["error"]["code"] == "PROJECT_NESTING"


@pytest.mark.parametrize("path", ["/projects/a b", "/projects/a\r\nX: y", "/projects/ä"])
async def test_a_path_that_is_not_encoded_is_never_sent(paths: HostPaths, path: str) -> None:
    with pytest.raises(ValueError, match="percent-encoded"):
        await ask(paths, 1, "DELETE", path)


async def test_without_a_daemon_nobody_is_asked_whoever_listens(paths: HostPaths) -> None:
    squatter = Squatter(b"", ends=True)
    paths.pid_file.write_text("1\n")
    paths.control_token.write_text(TOKEN)
    async with squatting(squatter) as port:
        with pytest.raises(DaemonNotRunning, match="pocketcoder start"):
            await ask(paths, port)
    assert squatter.connections == 0


def answer_with(*headers: str, body: bytes = b"") -> bytes:
    return "\r\n".join(["HTTP/1.1 200 OK", *headers, "", ""]).encode() + body


@pytest.mark.usefixtures("running")
@pytest.mark.parametrize(
    "answer",
    [
        b"",
        answer_with("Content-Length: 0"),
        answer_with("Content-Length: 0", "X-PocketCoder-Proof: "),
        answer_with("Content-Length: 0", "X-PocketCoder-Proof: " + "ab" * 32),
        answer_with("Content-Length: 0", "X-PocketCoder-Proof: é"),
        answer_with("Transfer-Encoding: chunked", body=b"0\r\n\r\n"),
        answer_with(f"Content-Length: {MAX_ANSWER_BYTES + 1}"),
        answer_with("Content-Length: -1"),
        answer_with("Content-Length: 5", body=b"abc"),
        b"HTTP/1.1 200 OK\r\nX: " + b"x" * 2 * MAX_HEADER_BYTES,
        b"SSH-2.0-OpenSSH_9.2\r\n\r\n",
        b"HTTP/1.1 \xb2\xb2\xb2 ?\r\n\r\n",
    ],
)
async def test_a_stranger_on_the_port_is_told_and_never_sees_the_token(paths: HostPaths, answer: bytes) -> None:
    paths.control_token.write_text(TOKEN)
    squatter = Squatter(answer, ends=True)
    async with squatting(squatter) as port:
        with pytest.raises(ForeignListener, match=f"Port {port} is taken by another program"):
            await ask(paths, port)

    assert squatter.heard.startswith(b"GET /health HTTP/1.1\r\n")
    assert TOKEN.encode() not in squatter.heard
    assert b"Authorization" not in squatter.heard
    assert squatter.connections == 1


@pytest.mark.usefixtures("running")
async def test_a_stranger_that_asks_the_real_daemon_on_another_port_does_not_pass(
    server: ControlServer, paths: HostPaths
) -> None:
    squatter = Relaying(server.port)
    async with squatting(squatter) as port:
        with pytest.raises(ForeignListener):
            await ask(paths, port)

    assert paths.control_token.read_bytes() not in squatter.heard


@pytest.mark.usefixtures("running")
async def test_a_stranger_that_answers_nothing_is_not_waited_for(paths: HostPaths) -> None:
    paths.control_token.write_text(TOKEN)
    squatter = Squatter(b"", ends=False)
    async with squatting(squatter) as port:
        with pytest.raises(DaemonUnresponsive, match="does not answer on port"):
            await ask(paths, port, timeout_s=0.1)

    assert TOKEN.encode() not in squatter.heard


@pytest.mark.usefixtures("running")
async def test_a_daemon_that_does_not_listen_yet_is_unresponsive(paths: HostPaths) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        with pytest.raises(DaemonUnresponsive, match="starting or stopping"):
            await ask(paths, unused.getsockname()[1])


async def test_a_daemon_that_ends_while_it_is_asked_is_not_running(paths: HostPaths) -> None:
    lock = InstanceLock.acquire(paths.pid_file)

    class Ending(Squatter):
        async def answer_to(self, _request: bytes) -> bytes:
            lock.release()
            return b""

    async with squatting(Ending(b"", ends=True)) as port:
        with pytest.raises(DaemonNotRunning):
            await ask(paths, port)


def test_the_client_imports_nothing_heavy() -> None:
    code = "import sys, host.control_plane.client, host.core.settings; print(*sys.modules)"

    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()

    heavy = {"asyncio", "aiohttp", "http.client", "msgspec", "pydantic", "ssl", "dataclasses", "typing", "logging"}
    assert heavy.isdisjoint(loaded)
