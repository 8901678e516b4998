"""``pocketcoder-relay``: serving, and the phone for the terminal."""

import asyncio
import json
import signal
import socket
from contextlib import AsyncExitStack
from importlib.metadata import version
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from relay_stub import client
from relay_stub.cli import app
from relay_stub.client import RelayClient
from tests.relay.programs import line_of, program
from tests.support.relay import BOUND_S, MACHINE, PROJECT, ScriptedDaemon, running_relay


def run(*arguments: str) -> Result:
    return CliRunner().invoke(app, arguments)


async def run_beside(relay_url: str, *arguments: str) -> Result:
    """Run the program in a thread, so that the relay and its daemons can go on here."""
    relay = relay_url.replace("http", "ws", 1)
    return await asyncio.to_thread(run, *arguments, "--relay", relay, "--login", "alice")


def test_it_tells_its_version() -> None:
    assert run("--version").output == f"pocketcoder-relay {version('pocketcoder')}\n"


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.1", "relay.example"])
def test_it_does_not_serve_with_dev_identity_beyond_this_machine(tmp_path: Path, host: str) -> None:
    for option in ("--insecure", "--trust-proxy=1"):
        arguments = ("serve", "--host", host, "--port", "0", "--identity", "dev", option)
        result = run(*arguments, "--data-dir", str(tmp_path / "relay"))
        assert result.exit_code == 1
        assert "only on a loopback address" in result.output
        assert not (tmp_path / "relay").exists()


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.1", "relay.example"])
def test_it_does_not_listen_beyond_this_machine_in_clear(tmp_path: Path, host: str) -> None:
    result = run("serve", "--host", host, "--port", "0", "--data-dir", str(tmp_path / "relay"))
    assert result.exit_code == 1
    assert result.output.startswith(f"Listening on {host} without TLS would send passcodes, tokens and files in clear.")
    assert not (tmp_path / "relay").exists()


def test_it_says_that_a_port_is_taken(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        result = run("serve", "--port", port, "--data-dir", str(tmp_path / "relay"))
    assert result.exit_code == 1
    assert result.output == (
        f"The relay cannot listen on 127.0.0.1 port {port}: Address already in use. "
        "Choose another with --host or --port; a port below 1024 needs a right of its own.\n"
    )


async def test_two_relays_do_not_share_a_data_directory(tmp_path: Path) -> None:
    async with (
        running_relay(tmp_path / "relay"),
        program(tmp_path, "serve", "--port", "0", "--data-dir", str(tmp_path / "relay")) as second,
    ):
        message = await line_of(second.stderr)
        assert message.startswith(f"Another relay is running on the data directory {tmp_path / 'relay'}.")
        assert await second.wait() == 1


def test_an_unknown_identity_provider_is_refused(tmp_path: Path) -> None:
    result = run("serve", "--identity", "trustme", "--data-dir", str(tmp_path / "relay"))
    assert result.exit_code == 2
    assert "trustme" in result.output


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_it_serves_where_it_says_until_it_is_told_to_stop(tmp_path: Path, number: signal.Signals) -> None:
    async with program(tmp_path, "serve", "--port", "0", "--data-dir", str(tmp_path / "relay")) as relay:
        announced = await line_of(relay.stdout)
        assert announced.startswith("Relay listening on http://127.0.0.1:")
        async with RelayClient.sign_in(announced.removeprefix("Relay listening on "), "alice") as client:
            relay.send_signal(number)
            assert await asyncio.wait_for(client.closed(), BOUND_S) == 1001
        assert await line_of(relay.stdout) == "Relay stopped."
        assert await relay.wait() == 0
        stdout, stderr = await relay.communicate()
        assert (stdout, stderr) == (b"", b"")


@pytest.mark.slow
async def test_debug_lines_name_each_request_and_never_what_it_says(tmp_path: Path) -> None:
    async with program(tmp_path, "serve", "--port", "0", "--log-level", "debug") as relay:
        url = (await line_of(relay.stdout)).removeprefix("Relay listening on ")
        async with (
            ScriptedDaemon.connect(url, "alice") as daemon,
            RelayClient.sign_in(url, "alice") as client,
        ):
            payload = {"path": "s3cret-path", "content": "s3cret"}
            asking = asyncio.create_task(client.request("fs_write", payload, session_id=PROJECT, request_id="write-1"))
            await daemon.answer(await daemon.next_request(), {"path": "s3cret-path"})
            await asking
            token = "eyJhbGciOiJFZERTQSJ9.e30.c2ln"
            odd = {"type": "fs_odd\nforged", "requestId": f"odd-1 {token}", "sessionId": PROJECT, "payload": {}}
            await client.send_raw(json.dumps(odd).encode())
            await daemon.next_request()
            user_id = client.welcome["user"]["id"]
        relay.send_signal(signal.SIGTERM)
        _, said = await relay.communicate()
    lines = said.decode().splitlines()
    written = [line for line in lines if "[write-1]" in line]
    assert [line.rpartition(": ")[2] for line in written] == ["forwarded", "answered"]
    assert all(f"'fs_write' [write-1] of user {user_id} to machine '{MACHINE}'" in line for line in written)
    assert all(line.startswith("20") for line in lines)
    assert "[odd-1 [redacted]]" in said.decode()
    assert "s3cret" not in said.decode()


async def test_call_prints_the_answer_as_json(relay_url: str) -> None:
    async with ScriptedDaemon.connect(relay_url, "alice") as daemon:
        calling = asyncio.create_task(run_beside(relay_url, "call", "fs_list", '{"path":"src"}'))
        request = await daemon.next_request()
        assert (request["type"], request["sessionId"], request["payload"]) == ("fs_list", PROJECT, {"path": "src"})
        await daemon.answer(request, {"path": "src", "children": []})
        result = await calling
        assert result.exit_code == 0
        assert json.loads(result.output) == {"path": "src", "children": []}


async def test_call_prints_what_is_streamed_before_the_answer(relay_url: str) -> None:
    async with ScriptedDaemon.connect(relay_url, "alice") as daemon:
        calling = asyncio.create_task(run_beside(relay_url, "call", "command_exec", "--request-id", "run"))
        request = await daemon.next_request()
        way_back = {"sessionId": PROJECT, "replyTo": request["replyTo"]}
        await daemon.send("command_output", payload={"requestId": "run", "seq": 1, "stdoutChunk": "a"}, **way_back)
        await daemon.send("command_output", payload={"requestId": "another", "seq": 1}, **way_back)
        await daemon.send("command_exit", requestId="run", payload={"exitCode": 0}, **way_back)
        result = await calling
        first, rest = result.stdout.split("\n", 1)
        assert json.loads(first)["payload"] == {"requestId": "run", "seq": 1, "stdoutChunk": "a"}
        assert json.loads(rest) == {"exitCode": 0}


async def test_call_finds_projects_by_name_and_machines_by_label(relay_url: str) -> None:
    async with ScriptedDaemon.connect(relay_url, "alice", label="Desk", projects=["p1", "p2"]) as daemon:
        for options in (["fs_list", "--project", "p2"], ["fs_list", "--project", "p2's name"]):
            calling = asyncio.create_task(run_beside(relay_url, "call", *options))
            request = await daemon.next_request()
            assert request["sessionId"] == "p2"
            await daemon.answer(request)
            assert (await calling).exit_code == 0
        for options in ([], ["--machine", "Desk"], ["--machine", MACHINE]):
            calling = asyncio.create_task(run_beside(relay_url, "call", "attention_list", *options))
            request = await daemon.next_request()
            assert request["machineKey"] == MACHINE
            await daemon.answer(request)
            assert (await calling).exit_code == 0


async def test_call_fails_with_one_line_that_says_what_to_do(relay_url: str) -> None:
    assert await failure_of(relay_url, "call", "fs_list") == (
        "alice has no projects yet. Add one on a machine of alice with: pocketcoder add PATH"
    )
    assert await failure_of(relay_url, "call", "attention_list") == (
        "alice has no machines yet. Sign one in with: pocketcoder login, then pocketcoder start"
    )
    async with ScriptedDaemon.connect(relay_url, "alice", projects=["p1", "p2"]):
        assert await failure_of(relay_url, "call", "fs_list") == (
            "There are several projects. Name one with --project: p1's name, p2's name"
        )
        assert await failure_of(relay_url, "call", "fs_list", "--project", "p3") == (
            "There is no project 'p3'. There are: p1's name, p2's name"
        )
        assert await failure_of(relay_url, "call", "attention_list", "--machine", "Nowhere") == (
            "There is no machine 'Nowhere'. There are: Laptop"
        )
        assert await failure_of(relay_url, "call", "brand_new") == (
            "UNSUPPORTED: The relay does not offer this type of message."
        )


async def test_call_says_how_to_learn_what_became_of_a_request_that_was_cut_off(tmp_path: Path) -> None:
    async with AsyncExitStack() as peers:
        async with running_relay(tmp_path / "relay") as url:
            daemon = await peers.enter_async_context(ScriptedDaemon.connect(url, "alice"))
            calling = asyncio.create_task(run_beside(url, "call", "fs_write", "--request-id", "write-1"))
            await daemon.next_request()
        result = await calling
    assert result.exit_code == 1
    assert result.output == (
        "The relay closed the connection (code 1001). "
        "To learn what became of the request, send it again with --request-id write-1\n"
    )


def test_call_says_where_no_relay_answers() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        free = f"ws://127.0.0.1:{taken.getsockname()[1]}"
    result = run("call", "machines_list", "--relay", free)
    assert result.exit_code == 1
    assert result.output == f"No relay answers at {free}. Start one with: pocketcoder-relay serve\n"


def test_call_gives_up_on_what_takes_connections_and_never_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client, "_CONNECT_TIMEOUT_S", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"ws://127.0.0.1:{silent.getsockname()[1]}"
        result = run("call", "machines_list", "--relay", url)
    assert result.exit_code == 1
    assert result.output == f"No relay answers at {url}. Start one with: pocketcoder-relay serve\n"


def test_call_refuses_a_payload_that_is_no_json_and_a_url_that_is_no_relay() -> None:
    wrong_payload = run("call", "fs_list", "{path:1}")
    assert wrong_payload.exit_code == 2
    assert "The payload is not JSON." in wrong_payload.output
    assert run("call", "fs_list", "--relay", "ftp://example").exit_code == 2


async def test_watch_prints_each_event_as_a_line_until_ctrl_c(relay_url: str, tmp_path: Path) -> None:
    async with (
        ScriptedDaemon.connect(relay_url, "alice") as daemon,
        program(tmp_path, "watch", "--relay", relay_url.replace("http", "ws", 1), "--login", "alice") as watching,
    ):
        assert await line_of(watching.stderr) == "Watching 1 project(s). Stop with Ctrl-C."
        for number in (1, 2):
            await daemon.send("fs_changed", sessionId=PROJECT, payload={"seq": number})
            event = json.loads(await line_of(watching.stdout))
            assert (event["type"], event["payload"]) == ("fs_changed", {"seq": number})
        watching.send_signal(signal.SIGINT)
        assert await asyncio.wait_for(watching.wait(), BOUND_S) == 130


@pytest.mark.slow
async def test_watch_says_of_which_projects_nothing_will_be_heard(relay_url: str, tmp_path: Path) -> None:
    async with ScriptedDaemon.connect(relay_url, "alice"):
        pass
    arguments = ("watch", "--relay", relay_url.replace("http", "ws", 1), "--login", "alice")
    async with program(tmp_path, *arguments) as watching:
        assert await line_of(watching.stderr) == "Watching 1 project(s). Stop with Ctrl-C."
        silent = "No changes are told of project-1's name now: its machine is offline."
        assert await line_of(watching.stderr) == silent


async def test_call_is_the_phone_that_it_is_told_to_be(relay_url: str) -> None:
    async with ScriptedDaemon.connect(relay_url, "alice") as daemon:
        for options, device in (([], "pocketcoder-relay"), (["--device", "Ada's phone"], "Ada's phone")):
            calling = asyncio.create_task(run_beside(relay_url, "call", "fs_list", *options))
            request = await daemon.next_request()
            assert request["from"]["device"] == device
            await daemon.answer(request)
            assert (await calling).exit_code == 0


async def test_watch_prints_what_a_person_reads(relay_url: str, tmp_path: Path) -> None:
    arguments = ("watch", "--short", "--relay", relay_url.replace("http", "ws", 1), "--login", "alice")
    session = {"agentSessionId": "6b1f0f2e-8d52-4e14-a11b-7d141e3059fc", "turnId": "t", "at": "2026-01-01T00:00:00Z"}
    async with ScriptedDaemon.connect(relay_url, "alice") as daemon, program(tmp_path, *arguments) as watching:
        await line_of(watching.stderr)
        for payload, line in (
            ({**session, "type": "text", "seq": 3, "text": "Hello"}, '6b1f0f2e text text="Hello"'),
            ({**session, "type": "text", "text": "x" * 200}, f'6b1f0f2e text text="{"x" * 119}…'),
        ):
            await daemon.send("agent_event", sessionId=PROJECT, payload=payload)
            assert await line_of(watching.stdout) == line
        await daemon.send("attention", sessionId=PROJECT, payload={**session, "kind": "done", "title": "Fix it"})
        assert await line_of(watching.stdout) == '6b1f0f2e attention kind="done" title="Fix it"'
        await daemon.send("fs_changed", sessionId=PROJECT, payload={"seq": 1, "events": []})
        assert await line_of(watching.stdout) == "fs_changed events=[]"


async def test_watch_ends_with_the_relay_and_says_so(tmp_path: Path) -> None:
    async with AsyncExitStack() as programs:
        async with running_relay(tmp_path / "relay") as url, ScriptedDaemon.connect(url, "alice"):
            arguments = ("watch", "--relay", url.replace("http", "ws", 1), "--login", "alice")
            watching = await programs.enter_async_context(program(tmp_path, *arguments))
            assert await line_of(watching.stderr) == "Watching 1 project(s). Stop with Ctrl-C."
        assert await line_of(watching.stderr) == "The relay closed the connection (code 1001). Try again in a moment."
        assert await asyncio.wait_for(watching.wait(), BOUND_S) == 1


async def failure_of(relay_url: str, *arguments: str) -> str:
    """What the program says when it exits with 1."""
    result = await run_beside(relay_url, *arguments)
    assert result.exit_code == 1
    return result.stderr.rstrip("\n")
