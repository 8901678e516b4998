"""``/status`` and ``pocketcoder status``: what is at work, what it takes, and what does not do all that it should."""

import asyncio
import sys
from typing import Any

import pytest

from relay_stub.client import RelayClient
from tests.end_to_end.served import Served
from tests.support.processes import Bench, eventually

pytestmark = pytest.mark.slow


def degraded(status: dict[str, Any]) -> dict[str, str]:
    """The reasons by part."""
    return {each["part"]: each["reason"] for each in status["degraded"]}


async def test_what_is_at_work_is_told(served: Served) -> None:
    machine = served.machine
    quiet = machine.status()
    assert {name: count for name, count in quiet["activity"].items() if count} == {}
    assert quiet["stopping"] is False
    assert "At work" not in machine.succeed("status")
    async with RelayClient.sign_in(served.relay.url, "ada") as phone, asyncio.timeout(50):
        command = {"command": "until [ -e go ]; do sleep 0.1; done"}
        running = asyncio.create_task(phone.request("command_exec", command, session_id=served.project_id))
        works = lambda: machine.status()["activity"]["commands"] == 1  # noqa: E731
        await asyncio.to_thread(eventually, works, what="The command's start")
        assert "At work      1 command\n" in await asyncio.to_thread(machine.succeed, "status")
        (served.root / "go").touch()
        await running
    assert quiet["storage"]["databaseBytes"] > 0
    assert quiet["storage"]["logBytes"] > 0


def test_what_is_degraded_is_told_with_its_reason(bench: Bench) -> None:
    served = Served(bench)
    machine = served.machine
    assert degraded(machine.status()).keys() <= {"agent"}

    served.relay.stop()
    machine.wait_for_state("reconnecting")
    served.root.rename(served.root.with_name("elsewhere"))
    eventually(lambda: "watching" in degraded(machine.status()), what="The watch's problem")
    status = machine.status()
    assert degraded(status)["relay"] == status["relay"]["lastError"]
    (project,) = status["projects"]
    assert "is not there" in project["watcherProblem"]
    assert degraded(status)["watching"] == f"{project['name']}: {project['watcherProblem']}"


@pytest.mark.skipif(sys.platform != "linux", reason="Only Linux has units.")
def test_autostart_that_would_not_work_is_told(bench: Bench) -> None:
    machine = bench.machine()
    unit = machine.directory / ".config" / "systemd" / "user" / "pocketcoder.service"
    unit.parent.mkdir(parents=True)
    machine.start()
    eventually(lambda: "autostart" in machine.status(), what="A look at autostart")
    assert "Autostart    off; turn it on with: pocketcoder enable-autostart\n" in machine.command("status").stdout
    machine.stop()
    unit.write_text("[Service]\nExecStart=/gone/pocketcoder start --foreground\n")
    machine.start()
    eventually(lambda: "autostart" in machine.status(), what="A look at autostart")
    status = machine.status()
    assert status["autostart"]["enabled"] is True
    assert "/gone/pocketcoder" in status["autostart"]["problem"] == degraded(status)["autostart"]
    assert f"Autostart    {status['autostart']['problem']}\n" in machine.command("status").stdout


async def test_git_that_only_the_login_shell_finds_is_no_missing_git(bench: Bench) -> None:
    relay, machine = bench.relay(), bench.machine(PATH=str(bench.directory))
    machine.login(relay.url)
    machine.start()
    machine.wait_until_connected()
    async with RelayClient.sign_in(relay.url, "ada") as phone, asyncio.timeout(30):
        while not (await phone.request("machines_list"))["machines"][0]["capabilities"]["hasGit"]:
            # It registers again once its shell has told.
            await phone.events.get()
    assert not [each for each in machine.status()["degraded"] if "git" in each["reason"]]


async def test_a_request_has_the_same_id_in_the_logs_of_relay_and_daemon(bench: Bench) -> None:
    relay, machine = bench.relay("--log-level", "debug"), bench.machine(LOG_LEVEL="debug")
    machine.login(relay.url)
    project_id = machine.add(bench.project())
    machine.start()
    machine.wait_until_connected()
    async with RelayClient.sign_in(relay.url, "ada") as phone:
        await phone.request("fs_read", {"path": "README.md"}, session_id=project_id, request_id="read-1")
        user_id = phone.welcome["user"]["id"]
    said = (relay.directory / "output.txt").read_text()
    key = machine.status()["machineKey"]
    assert f"'fs_read' [read-1] of user {user_id} to machine '{key}': answered" in said
    assert "[read-1] fs_read was answered after" in machine.log
    assert "README.md" not in said + machine.log
