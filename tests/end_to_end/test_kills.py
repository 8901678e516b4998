"""kill -9 of either side at any moment: what was answered is there, and nothing is done twice."""

import asyncio
import itertools
import random
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest

from relay_stub.client import RelayClient
from tests.support.batches import Listener, SeenBatches
from tests.support.processes import Bench, MachineProcess, RelayProcess
from tests.support.writers import Progress, Writer, check, write_through

BATCH_KILLS = 4


async def write_through_kills(
    bench: Bench, kill: Callable[[RelayProcess, MachineProcess, Progress], None]
) -> tuple[Path, Progress, list[Writer]]:
    """Let writers write while one side after the other is killed in the middle of it, and comes back."""
    root = bench.directory / "project"
    root.mkdir()
    relay, machine = bench.relay(), bench.machine()
    machine.login(relay.url)
    project_id = machine.add(root)
    machine.start()
    machine.wait_until_connected()

    async def fault(progress: Progress) -> None:
        await asyncio.to_thread(kill, relay, machine, progress)

    return root, *await write_through(relay.url, project_id, fault)


def kill_daemon(_relay: RelayProcess, machine: MachineProcess, progress: Progress) -> None:
    machine.kill()
    # Before it the writes of now may be cut off; those that begin now are not.
    progress.daemon_kills += 1
    machine.start()


def kill_relay(relay: RelayProcess, machine: MachineProcess, _progress: Progress) -> None:
    relay.kill()
    relay.start()
    # The daemon comes back by itself as well, but after so many kills only in half a minute.
    machine.start()


def kill_either(relay: RelayProcess, machine: MachineProcess, progress: Progress) -> None:
    random.choice((kill_daemon, kill_relay))(relay, machine, progress)


@pytest.mark.slow
@pytest.mark.timeout(150)
@pytest.mark.parametrize("kill", [kill_daemon, kill_either])
async def test_kills_at_random_moments_lose_nothing_and_do_nothing_twice(
    bench: Bench, kill: Callable[[RelayProcess, MachineProcess, Progress], None]
) -> None:
    root, progress, writers = await write_through_kills(bench, kill)
    check(root, writers)
    assert progress.accepted > 0
    assert sum(writer.phone.retries for writer in writers) > 0


@pytest.mark.slow
@pytest.mark.timeout(150)
async def test_a_killed_relay_makes_no_outcome_unknown(bench: Bench) -> None:
    root, progress, writers = await write_through_kills(bench, kill_relay)
    check(root, writers)
    assert progress.unknown == 0


@pytest.mark.slow
@pytest.mark.timeout(150)
async def test_no_number_of_a_batch_of_changes_is_used_again_after_a_kill(bench: Bench) -> None:
    root, relay, machine = bench.project(), bench.relay(), bench.machine()
    machine.login(relay.url)
    project_id = machine.add(root)
    machine.start()
    await asyncio.to_thread(machine.wait_until_connected)
    seen, numbers = SeenBatches(), itertools.count()
    async with RelayClient.sign_in(relay.url, "ada") as phone:
        await phone.join(project_id)
        listener = seen.listener()
        for _ in range(BATCH_KILLS):
            for _ in range(random.randint(1, 3)):
                # A name that never comes again: so a number that does has other changes.
                await make_and_hear(root / f"made-{next(numbers)}", phone, listener)
            # One more is on its way, or not.
            (root / f"made-{next(numbers)}").touch()
            await asyncio.sleep(random.uniform(0, 0.3))
            await asyncio.to_thread(machine.kill)
            await asyncio.to_thread(machine.start)
            await asyncio.to_thread(machine.wait_until_connected)
    assert len(seen) >= BATCH_KILLS


async def make_and_hear(file: Path, phone: RelayClient, listener: Listener) -> None:
    """What is made before the project is watched is told by no batch, so it is touched until it is."""
    async with asyncio.timeout(30):
        while True:
            file.write_text(file.read_text() + "x" if file.exists() else "")
            with suppress(TimeoutError):
                async with asyncio.timeout(1):
                    while (event := await phone.events.get())["type"] != "fs_changed":
                        pass
                listener.hear(event["payload"])
                if any(change["path"] == file.name for change in event["payload"]["changes"]):
                    return
