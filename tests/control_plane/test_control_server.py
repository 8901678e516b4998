import asyncio
import socket
import stat

import pytest

from host.control_plane.challenge import proof
from host.control_plane.server import ControlPortTaken, ControlServer
from host.core.home import HostPaths
from tests.control_plane.daemon_double import RecordingDaemon, exchange, http_request, read_result

CHALLENGE = "ab" * 32


async def test_health_is_an_empty_200(server: ControlServer) -> None:
    result = await exchange(server.port, http_request("GET", "/health", server.port))

    assert (result.status, result.body) == (200, b"")


async def test_status_has_the_contracts_members_and_leaves_unknown_ones_out(server: ControlServer) -> None:
    result = await exchange(server.port, http_request("GET", "/status", server.port))

    assert result.status == 200
    assert result.headers["content-type"].startswith("application/json")
    assert result.json == {
        "version": "0.1.0",
        "machineKey": "m",
        "machineLabel": "desk",
        "pid": 1,
        "startedAt": "2026-02-12T10:00:00.123Z",
        "loggedIn": False,
        "relay": {
            "url": "wss://relay.example",
            "state": "disconnected",
            "connected": False,
            "lastConnectedAt": None,
            "lastHeartbeatAt": None,
        },
        "capabilities": {"hasGit": True, "hasClaude": False, "claudeStoreFound": False, "warnings": []},
        "agents": [{"name": "claude", "version": "1.0", "signedIn": True, "running": 1, "waiting": 0}],
        "projects": [
            {"projectId": "proj_1", "name": "app", "path": "/src/app", "watcherRunning": True, "lastFsSeq": 7}
        ],
        "stopping": False,
        "activity": {
            "requests": 2,
            "commands": 1,
            "turns": 1,
            "prompts": 1,
            "waitingSessions": 0,
            "outboxBytes": 0,
        },
        "storage": {"databaseBytes": 4096, "logBytes": 0},
        "degraded": [{"part": "relay", "reason": "Nobody is signed in."}],
    }


@pytest.mark.parametrize(("body", "force"), [(None, False), (b"{}", False), (b'{"force":true}', True)])
async def test_stop_is_accepted_and_passed_on(
    server: ControlServer, daemon: RecordingDaemon, body: bytes | None, force: bool
) -> None:
    result = await exchange(server.port, http_request("POST", "/stop", server.port, body))

    assert (result.status, result.body) == (202, b"")
    assert daemon.calls == [("stop", force)]


async def test_the_label_is_told_and_set(server: ControlServer, daemon: RecordingDaemon) -> None:
    before = await exchange(server.port, http_request("GET", "/machine-label", server.port))
    after = await exchange(server.port, http_request("POST", "/machine-label", server.port, b'{"label":" lap "}'))

    assert before.json == {"label": "desk"}
    assert after.json == {"label": "lap"} == {"label": daemon.label}


async def test_re_register_is_accepted_and_passed_on(server: ControlServer, daemon: RecordingDaemon) -> None:
    result = await exchange(server.port, http_request("POST", "/re-register", server.port))

    assert result.status == 202
    assert daemon.calls == [("re_register",)]


async def test_projects_are_listed_added_and_removed(server: ControlServer, daemon: RecordingDaemon) -> None:
    listed = await exchange(server.port, http_request("GET", "/projects", server.port))
    added = await exchange(server.port, http_request("POST", "/projects", server.port, b'{"path":"/src/app"}'))
    removed = await exchange(server.port, http_request("DELETE", "/projects/proj%5F1", server.port))

    assert listed.json == {"projects": [added.json]}
    assert added.json["projectId"] == "proj_1"
    assert (removed.status, removed.body) == (204, b"")
    assert daemon.calls == [("add", "/src/app", None), ("remove", "proj_1")]


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "code"),
    [
        ("POST", "/projects", b'{"path":"/src/app/inner"}', 409, "PROJECT_NESTING"),
        ("POST", "/projects", b'{"path":7}', 400, "INVALID_REQUEST"),
        ("POST", "/projects", b"", 400, "INVALID_REQUEST"),
        ("POST", "/projects", b"[" * 60_000, 400, "INVALID_REQUEST"),
        ("POST", "/machine-label", b'{"label":"\\n"}', 400, "INVALID_REQUEST"),
        ("POST", "/machine-label", b'{"label":""}', 400, "INVALID_REQUEST"),
        ("POST", "/stop", b'{"force":"yes"}', 400, "INVALID_REQUEST"),
        ("POST", "/stop", b"\xff", 400, "INVALID_REQUEST"),
        ("DELETE", "/projects/unknown", None, 404, "PROJECT_NOT_FOUND"),
        ("DELETE", "/projects/", None, 404, "UNSUPPORTED"),
        ("DELETE", "/projects/a/b", None, 404, "UNSUPPORTED"),
        ("GET", "/", None, 404, "UNSUPPORTED"),
        ("GET", "/status/", None, 404, "UNSUPPORTED"),
        ("GET", "/stop", None, 405, "UNSUPPORTED"),
        ("POST", "/status", None, 405, "UNSUPPORTED"),
        ("POST", "/health", None, 405, "UNSUPPORTED"),
        ("OPTIONS", "/projects/proj_1", None, 405, "UNSUPPORTED"),
    ],
)
async def test_an_error_has_its_status_and_the_contracts_shape(
    server: ControlServer, method: str, path: str, body: bytes | None, status: int, code: str
) -> None:
    result = await exchange(server.port, http_request(method, path, server.port, body))

    assert (result.status, result.json["error"]["code"]) == (status, code)
    assert result.json["error"]["message"].endswith((".", "PATH"))
    assert ("allow" in result.headers) == (status == 405)


async def test_an_unforeseen_fault_is_logged_and_tells_nothing(
    server: ControlServer, daemon: RecordingDaemon, caplog: pytest.LogCaptureFixture
) -> None:
    daemon.fault = RuntimeError("internals")

    result = await exchange(server.port, http_request("GET", "/status", server.port))

    assert (result.status, result.json["error"]["code"]) == (500, "UNKNOWN_ERROR")
    assert b"internals" not in result.body
    assert "internals" in caplog.text


async def test_the_listener_proves_that_it_knows_the_token_and_only_for_its_port(
    server: ControlServer, paths: HostPaths
) -> None:
    request = http_request("GET", "/health", server.port, X_PocketCoder_Challenge=CHALLENGE)

    result = await exchange(server.port, request)

    token = paths.control_token.read_text()
    assert result.headers["x-pocketcoder-proof"] == proof(token, server.port, CHALLENGE)
    assert result.headers["x-pocketcoder-proof"] != proof(token, server.port + 1, CHALLENGE)
    assert (result.status, result.body) == (200, b"")


@pytest.mark.parametrize("challenge", ["", "ab", "zz" * 32, "ab" * 100])
async def test_what_is_no_challenge_gets_no_proof(server: ControlServer, challenge: str) -> None:
    request = http_request("GET", "/health", server.port, X_PocketCoder_Challenge=challenge)

    assert "x-pocketcoder-proof" not in (await exchange(server.port, request)).headers


async def test_the_token_is_private_new_at_each_start_and_gone_after_the_end(
    daemon: RecordingDaemon, paths: HostPaths
) -> None:
    tokens = set()
    for _ in range(2):
        server = ControlServer(daemon, paths.control_token, 0)
        await server.start()
        tokens.add(paths.control_token.read_text())
        assert stat.S_IMODE(paths.control_token.stat().st_mode) == 0o600
        await server.stop()
        await server.stop()
        assert not paths.control_token.exists()

    assert len(tokens) == 2
    assert all(len(token) == 43 for token in tokens)


async def test_a_stop_waits_for_no_idle_connection(daemon: RecordingDaemon, paths: HostPaths) -> None:
    server = ControlServer(daemon, paths.control_token, 0)
    await server.start()
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    writer.write(http_request("GET", "/health", server.port))
    await read_result(reader)

    async with asyncio.timeout(5):
        await server.stop()

    assert await reader.read() == b""
    writer.close()


async def test_only_this_machine_is_listened_to(server: ControlServer) -> None:
    with socket.socket() as other, pytest.raises(ConnectionRefusedError):
        other.connect(("127.0.0.2", server.port))


async def test_a_taken_port_is_told_and_the_other_daemons_token_stays(
    daemon: RecordingDaemon, paths: HostPaths
) -> None:
    paths.control_token.write_text("another's")
    with socket.create_server(("127.0.0.1", 0)) as squatter:
        port = squatter.getsockname()[1]
        server = ControlServer(daemon, paths.control_token, port)

        with pytest.raises(ControlPortTaken, match=rf"{port} is taken .* POCKETCODER_CONTROL_PORT"):
            await server.start()
    assert paths.control_token.read_text() == "another's"


async def test_a_token_that_can_not_be_written_leaves_no_listener(daemon: RecordingDaemon, paths: HostPaths) -> None:
    server = ControlServer(daemon, paths.home / "absent" / "control.token", 0)

    with pytest.raises(FileNotFoundError):
        await server.start()
    with pytest.raises(ConnectionRefusedError):
        await exchange(server.port, b"")
