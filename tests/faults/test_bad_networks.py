"""A network that cuts, delays, throttles and swallows between daemon and relay: nothing accepted is lost."""

import asyncio
import random
from pathlib import Path

import pytest

from tests.support.fault_proxy import FaultProxy
from tests.support.host import eventually
from tests.support.processes import Bench, MachineProcess, RelayProcess
from tests.support.writers import Progress, check, write_through

pytestmark = [pytest.mark.slow, pytest.mark.timeout(170)]


async def connected_machine(bench: Bench, proxy: FaultProxy) -> MachineProcess:
    machine = bench.machine()
    # In a thread: the proxy serves in this one.
    await asyncio.to_thread(machine.login, proxy.url)
    await asyncio.to_thread(machine.start)
    await asyncio.to_thread(machine.wait_until_connected)
    return machine


def project_in(bench: Bench) -> Path:
    root = bench.directory / "project"
    root.mkdir()
    return root


async def test_writes_through_a_network_that_breaks_in_every_way_are_done_once(
    bench: Bench, relay: RelayProcess, proxy: FaultProxy
) -> None:
    machine, root = await connected_machine(bench, proxy), project_in(bench)
    project_id = await asyncio.to_thread(machine.add, root)

    async def fault(_: Progress) -> None:
        match random.choice(("cut", "mid-frame", "swallow", "slow")):
            case "cut":
                proxy.cut()
            case "mid-frame":
                proxy.bytes_until_reset = random.randint(1, 400)
                await eventually(lambda: proxy.bytes_until_reset is None)
            case "swallow":
                proxy.is_swallowing = True
                await asyncio.sleep(0.5)  # how long the fault lasts
                proxy.is_swallowing = False
                # What was swallowed is missing in the middle of the stream.
                proxy.cut()
            case "slow":
                proxy.delay_s, proxy.bytes_per_s = 0.05, 100_000
                await asyncio.sleep(0.5)  # how long the fault lasts
                proxy.delay_s, proxy.bytes_per_s = 0.0, float("inf")
        # It comes back by itself as well, but after so many faults only in half a minute.
        await asyncio.to_thread(machine.succeed, "start")

    progress, writers = await write_through(relay.url, project_id, fault)
    check(root, writers)
    # The daemon was never killed, so it always knows.
    assert progress.unknown == 0


async def test_a_relay_that_accepts_and_closes_is_dialled_less_and_less(bench: Bench, proxy: FaultProxy) -> None:
    machine = await connected_machine(bench, proxy)
    proxy.accepts_and_closes = True
    before = proxy.accepted
    proxy.cut()
    await asyncio.to_thread(machine.wait_for_state, "reconnecting")
    async with asyncio.timeout(30):
        await eventually(lambda: proxy.accepted - before >= 3, timeout_s=30)
    status = await asyncio.to_thread(machine.relay_status)
    # 1, 2 and 4 s, each spread over half of it.
    assert status["nextTryAt"] is not None
    proxy.accepts_and_closes = False
    await asyncio.to_thread(machine.succeed, "start")
    await asyncio.to_thread(machine.wait_until_connected)


async def test_a_relay_that_is_stopped_in_its_tracks_is_noticed_within_one_heartbeat(
    bench: Bench, relay: RelayProcess, proxy: FaultProxy
) -> None:
    machine = await connected_machine(bench, proxy)
    proxy.is_swallowing = True
    # 20 s to the next ping, 20 s for its answer.
    await eventually(lambda: proxy.connections == 0, timeout_s=45)
    status = await asyncio.to_thread(machine.wait_for_state, "reconnecting")
    assert "silent" in status["lastError"]
    proxy.is_swallowing = False
    await asyncio.to_thread(machine.succeed, "start")
    await asyncio.to_thread(machine.wait_until_connected)
