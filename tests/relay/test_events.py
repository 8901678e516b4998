"""Who hears what nobody asked for: docs/protocol.md, "Presence and subscription"."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass

import pytest

from relay_stub.client import Message, RelayClient
from tests.support.relay import MACHINE, PROJECT, ScriptedDaemon, error_of, settled

OTHER_PROJECT = "project-2"


@dataclass(frozen=True)
class Household:
    """A laptop with two projects, and two clients of its user."""

    daemon: ScriptedDaemon
    phone: RelayClient
    tablet: RelayClient

    async def heard(self, client: RelayClient) -> list[Message]:
        """All that the client was told of what the daemon sent until now."""
        fence = asyncio.create_task(client.request("brand_new", machine_key=MACHINE))
        await self.daemon.answer(await self.daemon.next_request())
        await fence
        return await settled(client)


@pytest.fixture
async def home(relay_url: str) -> AsyncIterator[Household]:
    async with (
        ScriptedDaemon.connect(relay_url, "alice", projects=[PROJECT, OTHER_PROJECT]) as daemon,
        RelayClient.sign_in(relay_url, "alice") as phone,
        RelayClient.sign_in(relay_url, "alice") as tablet,
    ):
        yield Household(daemon, phone, tablet)


async def test_an_event_goes_to_the_clients_that_joined_its_project_until_they_leave(home: Household) -> None:
    payload = {"seq": 1, "changes": [{"kind": "create", "path": "a"}]}
    await home.phone.join(PROJECT)
    await home.tablet.join(OTHER_PROJECT)
    await home.daemon.send("fs_changed", sessionId=PROJECT, payload=payload)
    event = {"type": "fs_changed", "sessionId": PROJECT, "machineKey": MACHINE, "payload": payload}
    assert await home.heard(home.phone) == [event]
    assert await home.heard(home.tablet) == []

    await home.phone.request("project_leave", session_id=PROJECT)
    await home.daemon.send("fs_changed", sessionId=PROJECT)
    assert await home.heard(home.phone) == []


async def test_joining_and_leaving_answer_with_nothing_and_may_be_repeated(home: Household) -> None:
    for wire_type in ("project_join", "project_join", "project_leave", "project_leave"):
        assert await home.phone.request(wire_type, session_id=PROJECT) == {}


async def test_who_joined_twice_hears_once(home: Household) -> None:
    await home.phone.join(PROJECT)
    await home.phone.join(PROJECT)
    await home.daemon.send("fs_changed", sessionId=PROJECT)
    assert len(await home.heard(home.phone)) == 1


async def test_joining_is_the_connections_own(relay_url: str, home: Household) -> None:
    await home.phone.join(PROJECT)
    async with RelayClient.sign_in(relay_url, "alice") as reconnected:
        await home.daemon.send("fs_changed", sessionId=PROJECT)
        assert await home.heard(reconnected) == []


async def test_asking_for_something_does_not_join(home: Household) -> None:
    asked = asyncio.create_task(home.phone.request("fs_list", session_id=PROJECT))
    await home.daemon.answer(await home.daemon.next_request())
    await asked
    await home.daemon.send("fs_changed", sessionId=PROJECT)
    assert await home.heard(home.phone) == []


@pytest.mark.parametrize("asker_joined", [True, False])
async def test_a_streamed_event_reaches_the_asker_once_and_all_who_joined(home: Household, asker_joined: bool) -> None:
    if asker_joined:
        await home.phone.join(PROJECT)
    await home.tablet.join(PROJECT)
    asked = asyncio.create_task(home.phone.request("command_exec", session_id=PROJECT, request_id="run"))
    request = await home.daemon.next_request()
    output = {"requestId": "run", "seq": 1, "stdoutChunk": "hello"}
    exited = {"requestId": "run", "seq": 2, "reason": "exited", "exitCode": 0}
    way_back = {"sessionId": PROJECT, "replyTo": request["replyTo"]}
    await home.daemon.send("command_output", payload=output, **way_back)
    await home.daemon.send("command_exit", requestId="run", payload=exited, **way_back)

    assert await asked == exited
    seen_by_all = {"sessionId": PROJECT, "machineKey": MACHINE}
    streamed = {"type": "command_output", "payload": output} | seen_by_all
    assert await home.heard(home.phone) == [streamed]
    assert await home.heard(home.tablet) == [streamed, {"type": "command_exit", "payload": exited} | seen_by_all]


async def test_attention_reaches_all_the_users_clients(home: Household) -> None:
    await home.daemon.send("attention", sessionId=PROJECT, payload={"kind": "prompt"})
    for client in (home.phone, home.tablet):
        (event,) = await home.heard(client)
        assert (event["type"], event["payload"], event["machineKey"]) == ("attention", {"kind": "prompt"}, MACHINE)


async def test_attention_that_answers_somebody_reaches_them_once_too(home: Household) -> None:
    await home.daemon.send("attention", sessionId=PROJECT, replyTo=home.phone.welcome["connectionId"])
    for client in (home.phone, home.tablet):
        assert len(await home.heard(client)) == 1


async def test_events_come_in_the_order_in_which_the_daemon_sent_them(home: Household) -> None:
    await home.phone.join(PROJECT)
    for number in range(200):
        await home.daemon.send("fs_changed", sessionId=PROJECT, payload={"seq": number})
    assert [event["payload"]["seq"] for event in await home.heard(home.phone)] == list(range(200))


async def test_what_a_daemon_has_no_right_to_say_reaches_nobody(relay_url: str, home: Household) -> None:
    async with ScriptedDaemon.connect(relay_url, "alice", machine_key="other", projects=["p9"]) as other:
        await settled(home.phone)
        await home.phone.join(PROJECT)
        await other.send("fs_changed", sessionId=PROJECT)
        await other.send("fs_changed", sessionId="nowhere")
        await other.send("fs_changed")
        for wire_type in ("relay.machine_lost", "relay.session_revoked", "relay.machine_replaced"):
            await other.send(wire_type, sessionId=PROJECT, machineKey=MACHINE)
            await other.send(wire_type, replyTo=home.phone.welcome["connectionId"])
        await other.register(projects=["p9"])
        assert await home.heard(home.phone) == []


async def test_more_than_1024_joined_projects_are_too_many(relay_url: str) -> None:
    names = [f"p{number}" for number in range(500)]
    async with (
        ScriptedDaemon.connect(relay_url, "alice", machine_key="m1", projects=[f"m1-{name}" for name in names]),
        ScriptedDaemon.connect(relay_url, "alice", machine_key="m2", projects=[f"m2-{name}" for name in names]),
        ScriptedDaemon.connect(relay_url, "alice", machine_key="m3", projects=[f"m3-{name}" for name in names[:25]]),
        RelayClient.sign_in(relay_url, "alice") as client,
    ):
        projects = [project["projectId"] for project in await client.projects()]
        assert len(projects) == 1025
        for project_id in projects[:1024]:
            await client.join(project_id)
        refused = await error_of(client, "project_join", sessionId=projects[1024])
        assert (refused.code, refused.details) == ("RATE_LIMITED", {"retryAfterMs": 1000})
        await client.request("project_leave", session_id=projects[0])
        await client.join(projects[1024])
