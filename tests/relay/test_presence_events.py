"""Machines that come, go, and are replaced: docs/protocol.md, "Presence and subscription"."""

import asyncio
import sqlite3
from pathlib import Path

import msgspec
import pytest

from relay_stub import connection
from relay_stub.client import Message, RelayClient
from relay_stub.store.registrations import Registrations
from relay_stub.version import relay_version
from tests.support.relay import (
    BOUND_S,
    MACHINE,
    PROJECT,
    ScriptedDaemon,
    close_code,
    error_of,
    next_message,
    next_of_type,
    registered_project,
    registration,
    running_relay,
    settled,
)


async def next_status(client: RelayClient) -> tuple[str, bool, str]:
    """The next message, which must be a ``daemon_status``: its machine, whether connected, its label."""
    event = await next_message(client)
    assert event["type"] == "daemon_status"
    assert set(event) == {"type", "machineKey", "payload"}
    payload = event["payload"]
    assert set(payload) == {"machineKey", "connected", "label", "at"}
    assert event["machineKey"] == payload["machineKey"]
    return payload["machineKey"], payload["connected"], payload["label"]


async def machine_of(client: RelayClient) -> Message:
    """The user's only machine, as ``machines_list`` has it."""
    (machine,) = (await client.request("machines_list"))["machines"]
    assert isinstance(machine, dict)
    return machine


async def test_a_registration_is_answered_with_what_holds_on_this_connection(relay_url: str) -> None:
    async with ScriptedDaemon.connect(relay_url, "alice") as daemon:
        registered = daemon.registered
        assert set(registered) == {"connectionId", "user", "serverTime", "relayVersion", "limits"}
        assert registered["user"] == {"id": daemon.tokens.user.id, "login": "alice"}
        assert registered["relayVersion"] == relay_version()
        assert registered["limits"] == {
            "maxFrameBytes": 32 * 1024 * 1024,
            "maxPendingRequests": 256,
            "heartbeatIntervalMs": 20_000,
            "requestTimeoutMs": 15_000,
        }


async def test_a_client_is_welcomed_with_the_machines_as_they_are_listed(relay_url: str) -> None:
    async with ScriptedDaemon.connect(relay_url, "alice"), RelayClient.sign_in(relay_url, "alice") as client:
        welcome = client.welcome
        assert set(welcome) == {"connectionId", "user", "serverTime", "relayVersion", "limits", "machines"}
        seen = {"lastSeenAt": ""}
        assert [machine | seen for machine in welcome["machines"]] == [await machine_of(client) | seen]


async def test_a_users_clients_hear_when_a_machine_comes_changes_and_goes(relay_url: str) -> None:
    async with (
        RelayClient.sign_in(relay_url, "alice") as phone,
        RelayClient.sign_in(relay_url, "alice") as tablet,
    ):
        async with ScriptedDaemon.connect(relay_url, "alice", label="Laptop") as daemon:
            for client in (phone, tablet):
                assert await next_status(client) == (MACHINE, True, "Laptop")
            await daemon.register(label="Old laptop")
            for client in (phone, tablet):
                assert await next_status(client) == (MACHINE, True, "Old laptop")
        for client in (phone, tablet):
            assert await next_status(client) == (MACHINE, False, "Old laptop")
            assert await settled(client) == []


async def test_a_machine_is_listed_as_it_registered_and_offline_when_it_is_gone(relay_url: str) -> None:
    async with RelayClient.sign_in(relay_url, "alice") as client:
        async with ScriptedDaemon.connect(relay_url, "alice"):
            online = await machine_of(client)
            last_seen_at = online["lastSeenAt"]
            payload = registration("")
            assert online == {
                "machineKey": MACHINE,
                **payload["machine"],
                "protocolVersion": 1,
                "features": payload["features"],
                "capabilities": payload["capabilities"],
                "connected": True,
                "lastSeenAt": last_seen_at,
            }
        await next_of_type(client, "daemon_status")
        await next_status(client)
        offline = await machine_of(client)
        assert offline["lastSeenAt"] >= last_seen_at
        assert offline == online | {"connected": False, "lastSeenAt": offline["lastSeenAt"]}


async def test_a_machine_that_goes_is_offline_though_the_relays_disk_is_full(
    relay_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object, **__: object) -> None:
        raise sqlite3.OperationalError("database or disk is full")

    async with RelayClient.sign_in(relay_url, "alice") as client:
        async with ScriptedDaemon.connect(relay_url, "alice"):
            assert await next_status(client) == (MACHINE, True, "Laptop")
            monkeypatch.setattr(Registrations, "touch", full)
        assert await next_status(client) == (MACHINE, False, "Laptop")
        assert (await error_of(client, "fs_list", sessionId=PROJECT)).code == "MACHINE_OFFLINE"


async def test_a_connected_machine_is_seen_now(relay_url: str) -> None:
    async with ScriptedDaemon.connect(relay_url, "alice"), RelayClient.sign_in(relay_url, "alice") as client:
        before = client.welcome["serverTime"]
        async with asyncio.timeout(BOUND_S):
            while (await machine_of(client))["lastSeenAt"] <= before:
                pass


async def test_projects_are_listed_as_they_were_registered_those_of_absent_machines_too(relay_url: str) -> None:
    async with (
        RelayClient.sign_in(relay_url, "alice") as client,
        ScriptedDaemon.connect(relay_url, "alice", machine_key="desktop", projects=["p2", "p3"]),
    ):
        async with ScriptedDaemon.connect(relay_url, "alice", machine_key="laptop", projects=["p1"]):
            pass
        await next_gone(client, "laptop")
        assert await client.projects() == [
            registered_project("p1") | {"machineKey": "laptop", "connected": False},
            registered_project("p2") | {"machineKey": "desktop", "connected": True},
            registered_project("p3") | {"machineKey": "desktop", "connected": True},
        ]
        of_laptop = await client.request("projects_list", {"machineKey": "laptop"})
        assert [project["projectId"] for project in of_laptop["projects"]] == ["p1"]
        assert (await client.request("projects_list", {"machineKey": "nowhere"}))["projects"] == []


async def test_a_wrong_filter_of_projects_is_named(relay_url: str) -> None:
    async with RelayClient.sign_in(relay_url, "alice") as client:
        error = await error_of(client, "projects_list", payload={"machineKey": 7})
        assert error.code == "INVALID_REQUEST"
        assert error.details is not None
        assert error.details["errors"][0]["field"] == "machineKey"


async def test_a_list_that_no_message_can_hold_is_refused_and_can_be_asked_for_in_parts(
    relay_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with (
        ScriptedDaemon.connect(relay_url, "alice", machine_key="m1", projects=[f"m1-{each}" for each in range(10)]),
        ScriptedDaemon.connect(relay_url, "alice", machine_key="m2", projects=[f"m2-{each}" for each in range(10)]),
        RelayClient.sign_in(relay_url, "alice") as client,
    ):
        whole_bytes = len(msgspec.json.encode({"projects": await client.projects()}))
        monkeypatch.setattr(connection, "MAX_ANSWER_BYTES", whole_bytes - 1)
        assert (await error_of(client, "projects_list")).code == "FILE_TOO_LARGE"
        part = await client.request("projects_list", {"machineKey": "m1"})
        assert len(part["projects"]) == 10
        monkeypatch.setattr(connection, "MAX_ANSWER_BYTES", whole_bytes)
        assert len(await client.projects()) == 20


async def test_a_project_that_is_not_registered_again_is_gone(relay_url: str) -> None:
    async with (
        ScriptedDaemon.connect(relay_url, "alice", projects=["kept", "removed"]) as daemon,
        RelayClient.sign_in(relay_url, "alice") as client,
    ):
        await daemon.register(projects=["kept"])
        assert [project["projectId"] for project in await client.projects()] == ["kept"]
        assert (await error_of(client, "fs_list", sessionId="removed")).code == "PROJECT_NOT_FOUND"


async def test_a_removed_projects_events_reach_nobody_and_it_can_still_be_left(relay_url: str) -> None:
    async with (
        ScriptedDaemon.connect(relay_url, "alice") as daemon,
        RelayClient.sign_in(relay_url, "alice") as client,
    ):
        await client.join(PROJECT)
        await daemon.register(projects=[])
        await next_status(client)
        await daemon.send("fs_changed", sessionId=PROJECT)
        await daemon.register(projects=[], label="Renamed")
        await next_status(client)
        assert await settled(client) == []
        await client.request("project_leave", session_id=PROJECT)
        assert (await error_of(client, "project_leave", sessionId=PROJECT)).code == "PROJECT_NOT_FOUND"


async def test_machines_and_projects_outlive_the_relay_and_are_offline_until_they_come_back(tmp_path: Path) -> None:
    async with running_relay(tmp_path / "relay") as url, ScriptedDaemon.connect(url, "alice"):
        pass
    async with running_relay(tmp_path / "relay") as url, RelayClient.sign_in(url, "alice") as client:
        assert (await machine_of(client))["connected"] is False
        (project,) = await client.projects()
        assert (project["projectId"], project["connected"]) == (PROJECT, False)
        assert (await error_of(client, "fs_list", sessionId=PROJECT)).code == "MACHINE_OFFLINE"
        assert (await error_of(client, "attention_list", machineKey=MACHINE)).code == "MACHINE_OFFLINE"
        await client.join(PROJECT)
        async with ScriptedDaemon.connect(url, "alice") as daemon:
            assert await next_status(client) == (MACHINE, True, "Laptop")
            await daemon.send("fs_changed", sessionId=PROJECT)
            assert (await next_message(client))["type"] == "fs_changed"


async def test_a_machine_that_registers_elsewhere_is_replaced_and_nobody_is_told_it_was_gone(relay_url: str) -> None:
    async with (
        RelayClient.sign_in(relay_url, "alice") as client,
        ScriptedDaemon.connect(relay_url, "alice", label="First") as first,
    ):
        assert await next_status(client) == (MACHINE, True, "First")
        pending = asyncio.create_task(error_of_request(client))
        await first.next_request()
        async with ScriptedDaemon.connect(relay_url, "alice", label="Second") as second:
            assert await close_code(first.peer) == 4409
            assert await pending == "MACHINE_OFFLINE"
            assert await next_status(client) == (MACHINE, True, "Second")
            assert (await machine_of(client))["label"] == "Second"
            asked = asyncio.create_task(client.request("fs_list", session_id=PROJECT))
            await second.answer(await second.next_request(), {"by": "second"})
            assert await asked == {"by": "second"}
        assert await next_status(client) == (MACHINE, False, "Second")
        assert await settled(client) == []


async def test_a_daemon_that_registers_again_on_its_connection_replaces_nobody(relay_url: str) -> None:
    async with (
        ScriptedDaemon.connect(relay_url, "alice") as daemon,
        RelayClient.sign_in(relay_url, "alice") as client,
    ):
        asked = asyncio.create_task(client.request("fs_list", session_id=PROJECT))
        request = await daemon.next_request()
        again = await daemon.register(label="Renamed")
        assert again["connectionId"] == daemon.registered["connectionId"]
        await daemon.answer(request, {"still": "here"})
        assert await asked == {"still": "here"}


async def test_a_registration_is_announced_when_it_changed_and_not_for_a_renewed_token(relay_url: str) -> None:
    async with (
        ScriptedDaemon.connect(relay_url, "alice") as daemon,
        RelayClient.sign_in(relay_url, "alice") as client,
    ):
        await daemon.register()
        await daemon.register(label="Renamed")
        assert await next_status(client) == (MACHINE, True, "Renamed")
        assert await settled(client) == []


async def test_the_same_machine_key_of_two_users_replaces_nobody(relay_url: str) -> None:
    async with (
        ScriptedDaemon.connect(relay_url, "alice") as first,
        ScriptedDaemon.connect(relay_url, "bob") as second,
    ):
        for daemon in (first, second):
            assert (await daemon.register())["connectionId"] == daemon.registered["connectionId"]


async def test_a_connection_keeps_its_machine_key(relay_url: str) -> None:
    async with ScriptedDaemon.connect(relay_url, "alice") as daemon:
        payload = registration(daemon.tokens.access_token, machine_key="another")
        error = await error_of(daemon.peer, "daemon_register", payload=payload)
        assert error.code == "INVALID_REQUEST"
        await daemon.register()


async def test_a_daemon_cannot_ask_what_clients_ask(relay_url: str) -> None:
    async with ScriptedDaemon.connect(relay_url, "alice") as daemon:
        for wire_type in ("machines_list", "projects_list", "project_join", "fs_list", "client_hello"):
            assert (await error_of(daemon.peer, wire_type, sessionId=PROJECT)).code == "UNSUPPORTED"


async def next_gone(client: RelayClient, machine_key: str) -> None:
    """Wait until the client was told that the machine is not connected any more."""
    while True:
        status = (await next_of_type(client, "daemon_status"))["payload"]
        if (status["machineKey"], status["connected"]) == (machine_key, False):
            return


async def error_of_request(client: RelayClient) -> str:
    return (await error_of(client, "fs_list", sessionId=PROJECT)).code
