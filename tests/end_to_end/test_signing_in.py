"""Who is signed in, where, and for how long."""

import asyncio
import shutil
import time

import pytest
from websockets.asyncio.server import ServerConnection, serve

from relay_stub.client import RelayClient, RequestFailed
from tests.support.processes import Bench, eventually, free_port

pytestmark = pytest.mark.slow


async def test_tokens_that_live_two_seconds_are_renewed_without_losing_the_link(bench: Bench) -> None:
    relay, machine = bench.relay("--access-lifetime-s", "2"), bench.machine()
    machine.login(relay.url)
    project_id = machine.add(bench.project())
    machine.start()
    before = machine.wait_until_connected()["relay"]
    seen = {machine.auth()["refresh_token"]}
    async with RelayClient.sign_in(relay.url, "ada") as phone, asyncio.timeout(30):
        for _ in range(4):
            await asyncio.to_thread(eventually, lambda: machine.auth()["refresh_token"] not in seen, what="A renewal")
            seen.add(machine.auth()["refresh_token"])
            answer = await phone.request("fs_read", {"path": "README.md"}, session_id=project_id)
            assert answer["content"] == "# Read me\n"
    after = machine.relay_status()
    assert after["connected"] is True
    assert after["lastConnectedAt"] == before["lastConnectedAt"]


async def test_a_token_that_expired_while_the_daemon_was_down_is_renewed_at_its_start(bench: Bench) -> None:
    relay, machine = bench.relay("--access-lifetime-s", "1"), bench.machine()
    machine.login(relay.url)
    before = machine.auth()
    eventually(lambda: time.time() > before["expires_at"], what="The token's end")
    machine.start()
    machine.wait_until_connected()
    assert machine.auth()["refresh_token"] != before["refresh_token"]


def test_a_daemon_that_was_started_first_connects_when_somebody_signs_in(bench: Bench) -> None:
    relay, machine = bench.relay(), bench.machine()
    assert "Nobody is signed in yet. Sign in with: pocketcoder login" in machine.succeed("start")
    pid = machine.daemon_pid
    alone = machine.status()
    assert alone["loggedIn"] is False
    assert "user" not in alone
    assert machine.wait_for_state("disconnected")["lastError"].startswith("Nobody is signed in.")
    machine.login(relay.url)
    connected = machine.wait_until_connected()
    assert connected["loggedIn"] is True
    assert connected["user"]["login"] == "ada"
    assert connected["relay"]["url"] == relay.url
    assert machine.daemon_pid == pid


def test_signing_in_as_somebody_else_moves_the_machine(bench: Bench) -> None:
    relay, machine = bench.relay(), bench.machine()
    machine.login(relay.url, "ada")
    machine.start()
    first = machine.wait_until_connected()
    machine.login(relay.url, "grace")
    eventually(
        lambda: machine.status().get("user", {}).get("login") == "grace" and machine.relay_status()["connected"],
        what="The other user's connection",
    )
    assert machine.status()["machineKey"] == first["machineKey"]


async def test_of_two_daemons_with_one_machine_key_the_older_stays_away_until_start(bench: Bench) -> None:
    relay, older, newer = bench.relay(), bench.machine(), bench.machine()
    older.login(relay.url)
    older.start()
    older.stop()
    shutil.copytree(older.home, newer.home)
    older.start()
    older.wait_until_connected()
    newer.start()
    replaced = older.wait_for_state("disconnected")
    assert "Another daemon registered with this machine's key" in replaced["lastError"]
    assert "pocketcoder start" in replaced["lastError"]
    assert "nextTryAt" not in replaced
    newer.wait_until_connected()
    async with RelayClient.sign_in(relay.url, "ada") as phone, asyncio.timeout(20):
        assert [machine["connected"] for machine in phone.welcome["machines"]] == [True]
        newer.stop()
        # The place is free, but nobody asked.
        assert (await phone.events.get())["payload"]["connected"] is False
        assert older.relay_status()["state"] == "disconnected"
        older.succeed("start")
        assert (await phone.events.get())["payload"]["connected"] is True
    assert older.wait_until_connected()["relay"]["state"] == "connected"


async def test_tokens_of_one_relay_are_never_shown_to_another(bench: Bench) -> None:
    relay, machine, root = bench.relay(), bench.machine(), bench.project()
    machine.login(relay.url)
    machine.add(root)
    received: list[str | bytes] = []

    async def record(connection: ServerConnection) -> None:
        assert connection.request is not None
        received.append(str(connection.request.headers))
        received.extend([frame async for frame in connection])

    port = free_port()
    async with serve(record, "127.0.0.1", port):
        machine.variables["GATEWAY_URL"] = f"ws://127.0.0.1:{port}"
        await asyncio.to_thread(machine.start)
        elsewhere = await asyncio.to_thread(machine.wait_for_state, "disconnected")
        await asyncio.to_thread(machine.succeed, "start")
        assert elsewhere["url"] == f"ws://127.0.0.1:{port}"
        assert f"The sign-in is for {relay.url}" in elsewhere["lastError"]
        assert (await asyncio.to_thread(machine.status))["loggedIn"] is False
        await asyncio.to_thread(machine.stop)
    assert received == []
    del machine.variables["GATEWAY_URL"]
    machine.start()
    machine.wait_until_connected()


async def test_two_users_on_one_relay_see_nothing_of_each_other(bench: Bench) -> None:
    relay = bench.relay()
    projects: dict[str, str] = {}
    async with RelayClient.sign_in(relay.url, "ada") as ada, RelayClient.sign_in(relay.url, "grace") as grace:
        for name in ("ada", "grace"):
            machine, root = bench.machine(), bench.project(name)
            (root / "README.md").write_text(f"Of {name}\n")
            machine.login(relay.url, name)
            projects[name] = machine.add(root)
            machine.start()
            machine.wait_until_connected()
        for name, phone, other in (("ada", ada, "grace"), ("grace", grace, "ada")):
            assert [each["projectId"] for each in await phone.projects()] == [projects[name]]
            # The same id of a request means nothing to the other user.
            write = {"path": "new.txt", "content": name}
            await phone.request("fs_write", write, session_id=projects[name], request_id="the-same")
            read = await phone.request("fs_read", {"path": "README.md"}, session_id=projects[name])
            assert read["content"] == f"Of {name}\n"
            for wire_type, payload in (("fs_read", {"path": "README.md"}), ("project_join", {})):
                with pytest.raises(RequestFailed, match="PROJECT_NOT_FOUND"):
                    await phone.request(wire_type, payload, session_id=projects[other])
        keys = [{event["payload"]["machineKey"] for event in drained(phone)} for phone in (ada, grace)]
    assert [len(seen) for seen in keys] == [1, 1]
    assert keys[0].isdisjoint(keys[1])
    assert {name: (bench.directory / name / "new.txt").read_text() for name in projects} == {
        "ada": "ada",
        "grace": "grace",
    }


def drained(phone: RelayClient) -> list[dict[str, dict[str, str]]]:
    """The events that have come so far."""
    return [phone.events.get_nowait() for _ in range(phone.events.qsize())]
