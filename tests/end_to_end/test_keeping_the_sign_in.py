"""A sign-in outlives what happens to the processes that use it: renewals, kills, restarts, new keys."""

import asyncio
import json
import os
import stat
import time
from contextlib import suppress
from pathlib import Path
from typing import Final

import pytest

from relay_stub.client import RelayClient
from tests.support.keyrings import FileKeyring, backend_variables
from tests.support.processes import Bench, MachineProcess, eventually, is_alive
from tests.support.retrying_phone import RetryingPhone

RENEWALS: Final = 50
KILLS: Final = 6

pytestmark = pytest.mark.slow


def machine_with_keyring(bench: Bench) -> tuple[MachineProcess, Path]:
    keyring = bench.directory / "keyring.json"
    return bench.machine(**backend_variables(FileKeyring, keyring)), keyring


def kept_refresh_token(keyring: Path) -> str:
    (secret,) = json.loads(keyring.read_text()).values()
    return str(json.loads(secret)["refresh_token"])


def test_the_daemon_and_the_commands_share_the_keyring(bench: Bench) -> None:
    relay = bench.relay("--access-lifetime-s", "2")
    machine, keyring = machine_with_keyring(bench)
    machine.login(relay.url)
    first = kept_refresh_token(keyring)
    assert machine.auth().keys().isdisjoint({"access_token", "refresh_token"})
    machine.start()
    machine.wait_until_connected()
    eventually(lambda: kept_refresh_token(keyring) != first, what="A renewal")
    assert machine.status()["capabilities"]["warnings"] == []
    assert machine.auth().keys().isdisjoint({"access_token", "refresh_token"})
    machine.stop()
    machine.start()
    assert machine.wait_until_connected()["user"]["login"] == "ada"
    machine.succeed("logout")
    assert json.loads(keyring.read_text()) == {}
    assert "Nobody is signed in" in machine.wait_for_state("disconnected")["lastError"]


@pytest.mark.timeout(150)
@pytest.mark.parametrize("place", ["file", "keyring"])
def test_kill_9_while_tokens_are_saved_never_loses_the_sign_in(bench: Bench, place: str) -> None:
    relay = bench.relay("--access-lifetime-s", "1")
    machine = bench.machine() if place == "file" else machine_with_keyring(bench)[0]
    machine.login(relay.url)
    for _ in range(KILLS):
        pid = machine.start()
        machine.wait_until_connected()
        wait_for_saving(machine)
        machine.kill()
        assert not is_alive(pid)
    machine.start()
    connected = machine.wait_until_connected()
    assert connected["user"]["login"] == "ada"


def wait_for_saving(machine: MachineProcess) -> None:
    """Until tokens are being written, or were a moment ago."""
    before, deadline_s = (machine.home / "auth.json").stat().st_ino, time.monotonic() + 20
    while (machine.home / "auth.json").stat().st_ino == before:
        assert time.monotonic() < deadline_s, "Nothing was renewed."
        with os.scandir(machine.home) as entries:
            if any(entry.name.startswith(".auth.json.") for entry in entries):
                return


async def test_a_relay_that_comes_back_with_another_key_lets_everybody_stay(bench: Bench) -> None:
    relay, machine = bench.relay(), bench.machine()
    machine.login(relay.url)
    project_id = machine.add(bench.project())
    machine.start()
    machine.wait_until_connected()
    relay.stop()
    relay.administer("rotate-keys")
    relay.start()
    machine.wait_until_connected()
    assert "The relay ended this sign-in" not in machine.log
    async with RelayClient.sign_in(relay.url, "ada") as phone, asyncio.timeout(20):
        answer = await phone.request("fs_read", {"path": "README.md"}, session_id=project_id)
        assert answer["content"] == "# Read me\n"


def test_whatever_the_umask_everything_is_private(bench: Bench) -> None:
    relay, machine = bench.relay("--access-lifetime-s", "1"), bench.machine()
    machine.umask = 0
    machine.login(relay.url)
    first = machine.auth()["refresh_token"]
    machine.start()
    machine.wait_until_connected()
    eventually(lambda: machine.auth()["refresh_token"] != first, what="A renewal")
    modes: dict[str, int] = {}
    for path in [machine.home, *machine.home.rglob("*")]:
        # What is written this moment is gone the next.
        with suppress(FileNotFoundError):
            modes[str(path.relative_to(bench.directory))] = stat.S_IMODE(path.stat().st_mode)
            assert modes[str(path.relative_to(bench.directory))] == (0o700 if path.is_dir() else 0o600), path
    assert {Path(name).name for name in modes} >= {"auth.json", "auth.lock", "control.token", "daemon.db", "daemon.log"}


@pytest.mark.timeout(150)
async def test_fifty_renewals_and_three_restarts_of_the_relay_cost_a_phone_no_request(bench: Bench) -> None:
    relay, machine = bench.relay("--access-lifetime-s", "1"), bench.machine()
    machine.login(relay.url)
    project_id = machine.add(bench.project())
    pid = machine.start()
    machine.wait_until_connected()
    seen, answers, is_over = {machine.auth()["refresh_token"]}, 0, asyncio.Event()

    async def ask_on() -> None:
        nonlocal answers
        async with RetryingPhone.open(relay.url, "ada", project_id) as phone:
            while not is_over.is_set():
                answer = await phone.ask("fs_write", {"path": "count", "content": str(answers)})
                assert answer["type"] == "fs_write_response", answer
                answers += 1
                await asyncio.sleep(0.02)

    async def renewed(more: int) -> None:
        wanted = len(seen) + more
        async with asyncio.timeout(60):
            while len(seen) < wanted:
                seen.add(machine.auth()["refresh_token"])
                await asyncio.sleep(0.02)

    async with asyncio.TaskGroup() as group:
        group.create_task(ask_on())
        for _ in range(3):
            await renewed(RENEWALS // 4)
            await asyncio.to_thread(relay.kill)
            await asyncio.to_thread(relay.start)
        await renewed(RENEWALS - 3 * (RENEWALS // 4))
        is_over.set()
    assert len(seen) == RENEWALS + 1
    assert (bench.directory / "project" / "count").read_text() == str(answers - 1)
    assert answers > RENEWALS
    assert machine.daemon_pid == pid
    assert machine.wait_until_connected()["loggedIn"] is True
    assert "Traceback" not in machine.log
