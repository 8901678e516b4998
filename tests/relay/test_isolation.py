"""Nobody ever receives what is not theirs, whatever is sent and whatever names it carries."""

import asyncio
from collections.abc import Iterator
from itertools import count
from pathlib import Path
from typing import Any, cast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from relay_stub.bus.memory import MemoryBus
from relay_stub.client import RelayClient
from relay_stub.config import RelayConfig
from relay_stub.connection import Relay
from relay_stub.live_sessions import LiveSessions
from relay_stub.oauth.device import DeviceFlow
from relay_stub.oauth.identity.port import Identity
from relay_stub.oauth.tokens import TokenService
from relay_stub.outside_changes import OutsideChanges
from relay_stub.presence.memory import MemoryPresence
from relay_stub.rate_limits import RateLimits
from relay_stub.store.accounts import Accounts
from relay_stub.store.database import Database
from relay_stub.store.registrations import Registrations
from tests.relay.isolation_world import CLIENTS, MACHINES, PROJECTS, REQUEST_IDS, USERS, World
from tests.support.relay import (
    PROJECT,
    RawSocket,
    ScriptedDaemon,
    frame,
    hello,
    next_message,
    settled,
    sign_in,
)

_examples = count()


users, machines, projects = st.sampled_from(USERS), st.sampled_from(MACHINES), st.sampled_from(PROJECTS)
clients, request_ids = st.integers(0, CLIENTS - 1), st.sampled_from(REQUEST_IDS)
names = st.one_of(
    projects.map(lambda project: {"session_id": project}),
    machines.map(lambda machine: {"machine_key": machine}),
    st.tuples(projects, machines).map(lambda both: {"session_id": both[0], "machine_key": both[1]}),
)
event_types = st.sampled_from(("fs_changed", "command_output", "attention", "relay.machine_lost", "brand_new"))
answer_types = st.sampled_from(("fs_list_response", "brand_new_response", "error"))
steps = st.one_of(
    st.tuples(st.just("register"), users, machines, st.sets(projects)),
    st.tuples(st.just("drop"), users, machines),
    st.tuples(st.just("join"), clients, projects),
    st.tuples(st.just("leave"), clients, projects),
    st.tuples(st.just("ask"), clients, request_ids, names, clients),
    st.tuples(st.just("answer"), users, machines, answer_types, request_ids, clients),
    st.tuples(st.just("tell"), users, machines, event_types, st.none() | projects, st.none() | clients),
)


def take(world: World, step: tuple[Any, ...]) -> None:
    name, *arguments = step
    if name in ("join", "leave"):
        world.join(*arguments, leave=name == "leave")
    else:
        getattr(world, name)(*arguments)


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Database]:
    database = Database.open(tmp_path_factory.mktemp("relay") / "data")
    database.execute("PRAGMA synchronous = OFF")
    yield database
    database.close()


@settings(max_examples=120)
@given(plan=st.lists(steps, min_size=5, max_size=40))
def test_whatever_two_users_do_each_hears_only_what_is_theirs_and_all_of_it_once(
    database: Database, plan: list[tuple[Any, ...]]
) -> None:
    async def play() -> None:
        relay = Relay(
            config=RelayConfig(Path()),
            bus=MemoryBus(),
            presence=MemoryPresence(),
            registrations=Registrations(database),
            tokens=cast("TokenService", None),
            devices=cast("DeviceFlow", None),
            accounts=Accounts(database),
            limits=RateLimits(),
            live_sessions=LiveSessions(),
            changes=cast("OutsideChanges", None),
        )
        accounts, example = Accounts(database), next(_examples)
        user_ids = {user: accounts.sign_in(Identity("dev", f"{user} {example}", user)).id for user in USERS}
        world = World(relay, user_ids)
        # Something to be seen from the start, with the same names for both.
        for user in USERS:
            world.register(user, "m0", {"p0", "p1"})
        world.join(0, "p0", leave=False)
        world.join(1, "p0", leave=False)
        for step in plan:
            take(world, step)
            world.check()
        world.close()

    asyncio.run(play())


async def test_another_users_project_and_a_removed_one_cannot_be_told_from_one_that_never_was(relay_url: str) -> None:
    bobs_tokens = await sign_in(relay_url, "bob")
    async with (
        ScriptedDaemon.connect(relay_url, "alice", machine_key="alices", projects=["theirs"]),
        ScriptedDaemon.connect(relay_url, "bob", machine_key="bobs", projects=["before"]) as bobs,
        RawSocket.connect(relay_url) as bob,
    ):
        await bobs.register(projects=[])
        await bob.send(hello(bobs_tokens.access_token))
        await bob.receive_message()

        async def answer(wire_type: str, **names: str) -> bytes:
            await bob.send(frame(wire_type, requestId="r1", **names))
            _, answered = await bob.receive()
            assert answered.startswith(b'{"type":"error"')
            return answered

        for wire_type in ("fs_list", "fs_write", "command_exec", "project_join", "project_leave", "brand_new"):
            for machine in ({}, {"machineKey": "alices"}):
                never = await answer(wire_type, sessionId="nobody", **machine)
                for project_id in ("theirs", "before"):
                    told = await answer(wire_type, sessionId=project_id, **machine)
                    assert told.replace(project_id.encode(), b"nobody") == never
        for wire_type in ("attention_list", "brand_new"):
            assert await answer(wire_type, machineKey="alices") == await answer(wire_type, machineKey="nobodys")


async def test_users_see_none_of_each_others_machines_projects_and_events(relay_url: str) -> None:
    async with (
        RelayClient.sign_in(relay_url, "bob") as bob,
        ScriptedDaemon.connect(relay_url, "alice") as alices,
        ScriptedDaemon.connect(relay_url, "bob", label="Bob's", projects=[PROJECT]) as bobs,
    ):
        assert (await next_message(bob))["payload"]["label"] == "Bob's"
        await bob.join(PROJECT)
        (machine,) = (await bob.request("machines_list"))["machines"]
        assert machine["label"] == "Bob's"
        (project,) = await bob.projects()
        assert project["projectId"] == PROJECT

        connection_id = bob.welcome["connectionId"]
        for wire_type in ("fs_changed", "attention", "daemon_status", "fs_list_response", "error"):
            await alices.send(wire_type, sessionId=PROJECT, requestId="r1", replyTo=connection_id)
            await alices.send(wire_type, sessionId=PROJECT, replyTo=connection_id)
        await alices.register(label="Renamed")
        assert await settled(bob) == []

        await bob.send_raw(frame("fs_list", requestId="r1", sessionId=PROJECT, machineKey=alices.machine_key))
        assert (await bobs.next_request())["replyTo"] == connection_id
        await alices.send("fs_list_response", requestId="r1", replyTo=connection_id, payload={"forged": True})
        await alices.register()
        assert await settled(bob) == []
        assert alices.peer.events.empty()
