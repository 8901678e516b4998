"""One side is away for a while, or for good; the other says so and goes on when it can."""

import asyncio
import shutil

import pytest

from relay_stub.client import RelayClient, RequestFailed
from tests.support.processes import Bench, RelayProcess, eventually

pytestmark = pytest.mark.slow


async def read_readme(relay: RelayProcess, project_id: str, login: str = "ada") -> str:
    async with RelayClient.sign_in(relay.url, login) as phone, asyncio.timeout(15):
        answer = await phone.request("fs_read", {"path": "README.md"}, session_id=project_id)
        return str(answer["content"])


async def test_the_daemon_says_that_the_relay_is_gone_and_comes_back_by_itself(bench: Bench) -> None:
    relay, machine = bench.relay(), bench.machine()
    machine.login(relay.url)
    project_id = machine.add(bench.project())
    pid = machine.start()
    before = machine.wait_until_connected()["relay"]
    assert "lastError" not in before
    assert "nextTryAt" not in before
    relay.kill()
    gone = machine.wait_for_state("reconnecting")
    assert gone["connected"] is False
    assert gone["lastConnectedAt"] == before["lastConnectedAt"]
    eventually(lambda: "Is the relay running?" in machine.relay_status()["lastError"], what="The reason")
    eventually(lambda: "nextTryAt" in machine.relay_status(), what="The time of the next try")
    assert "reconnecting" in machine.succeed("status")
    relay.start()
    after = machine.wait_until_connected()["relay"]
    assert "lastError" not in after
    assert "nextTryAt" not in after
    assert after["lastConnectedAt"] > before["lastConnectedAt"]
    assert await read_readme(relay, project_id) == "# Read me\n"
    assert machine.daemon_pid == pid


def test_start_makes_a_waiting_daemon_try_at_once(bench: Bench) -> None:
    relay, machine = bench.relay(), bench.machine()
    machine.login(relay.url)
    relay.stop()
    machine.start()
    # The fourth wait is four seconds at least.
    eventually(lambda: machine.log.count("Next try in") == 4, what="The fourth wait")
    next_try_at = machine.relay_status()["nextTryAt"]
    relay.start()
    machine.succeed("start")
    assert machine.wait_until_connected()["relay"]["lastConnectedAt"] < next_try_at


async def test_a_restarted_relay_knows_the_projects_of_a_machine_that_is_offline(bench: Bench) -> None:
    relay, machine = bench.relay(), bench.machine()
    machine.login(relay.url)
    project_id = machine.add(bench.project())
    machine.start()
    machine.wait_until_connected()
    machine.stop()
    relay.kill()
    relay.start()
    async with RelayClient.sign_in(relay.url, "ada") as phone:
        assert [(each["projectId"], each["connected"]) for each in await phone.projects()] == [(project_id, False)]
        with pytest.raises(RequestFailed) as offline:
            await phone.request("fs_read", {"path": "README.md"}, session_id=project_id)
        with pytest.raises(RequestFailed) as unknown:
            await phone.request("fs_read", {"path": "README.md"}, session_id="proj_unknown")
    assert offline.value.error.code == "MACHINE_OFFLINE"
    assert unknown.value.error.code == "PROJECT_NOT_FOUND"
    machine.start()
    machine.wait_until_connected()
    assert await read_readme(relay, project_id) == "# Read me\n"


async def test_a_relay_that_forgot_everything_is_signed_in_to_again_without_a_restart(bench: Bench) -> None:
    relay, machine = bench.relay(), bench.machine()
    machine.login(relay.url)
    project_id = machine.add(bench.project())
    pid = machine.start()
    machine.wait_until_connected()
    relay.stop()
    shutil.rmtree(relay.data_directory)
    relay.start()
    refused = machine.wait_for_state("disconnected")
    assert refused["lastError"] == "The relay ended this sign-in. Sign in again with: pocketcoder login"
    assert "nextTryAt" not in refused
    assert machine.command("status").returncode == 4
    machine.login(relay.url)
    machine.wait_until_connected()
    assert machine.daemon_pid == pid
    assert await read_readme(relay, project_id) == "# Read me\n"
