"""From signing in to stopping, with the programs that people run."""

import asyncio
import os
import signal

import pytest

from relay_stub.client import Message, RelayClient, RequestFailed
from tests.support.processes import Bench, is_alive

pytestmark = pytest.mark.slow

EVENT_TIMEOUT_S = 15.0


async def next_presence(phone: RelayClient, *, connected: bool) -> Message:
    """The next word that the machine is, or is not, connected."""
    async with asyncio.timeout(EVENT_TIMEOUT_S):
        while True:
            event = await phone.events.get()
            if event["type"] == "daemon_status" and event["payload"]["connected"] is connected:
                return event


@pytest.mark.parametrize("foreground", [False, True], ids=["background", "foreground"])
async def test_the_whole_job_from_signing_in_to_stopping(bench: Bench, foreground: bool) -> None:
    relay, machine, root = bench.relay(port=0), bench.machine(), bench.project()
    machine.login(relay.url)
    async with RelayClient.sign_in(relay.url, "ada") as phone:
        assert phone.welcome["machines"] == []
        pid = machine.start_in_foreground() if foreground else machine.start()
        came = await next_presence(phone, connected=True)
        project_id = machine.add(root)
        # Told again when the registration changed, so that the list is known to hold the project.
        await next_presence(phone, connected=True)

        projects = await phone.projects()
        assert [(each["projectId"], each["name"], each["connected"]) for each in projects] == [
            (project_id, "project", True)
        ]
        listing = await phone.request("fs_list", {"path": ""}, session_id=project_id)
        assert [(entry["name"], entry["kind"]) for entry in listing["children"]] == [
            ("src", "dir"),
            ("README.md", "file"),
        ]
        read = await phone.request("fs_read", {"path": "src/app.py"}, session_id=project_id)
        assert read["content"] == "print('Grüße')\n"
        change = {"path": "src/app.py", "content": "print('Tschüß')\n", "ifMatch": read["etag"]}
        await phone.request("fs_write", change, session_id=project_id)
        assert (root / "src" / "app.py").read_text() == "print('Tschüß')\n"
        with pytest.raises(RequestFailed, match="CONFLICT"):
            await phone.request("fs_write", change, session_id=project_id)

        await asyncio.to_thread(machine.stop)
        went = await next_presence(phone, connected=False)
        assert came["payload"]["machineKey"] == went["payload"]["machineKey"] == machine.auth()["machine_key"]
        with pytest.raises(RequestFailed, match="MACHINE_OFFLINE"):
            await phone.request("fs_list", {"path": ""}, session_id=project_id)
    assert not is_alive(pid)
    stopped = machine.command("status")
    assert (stopped.returncode, stopped.stdout) == (3, "")
    assert "The daemon is not running." in stopped.stderr


def test_starting_twice_keeps_the_one_that_runs(bench: Bench) -> None:
    machine = bench.machine()
    pid = machine.start()
    assert machine.succeed("start") == f"PocketCoder is already running (process {pid}).\n"
    assert machine.daemon_pid == pid


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_signal_ends_the_daemon_and_leaves_nothing(bench: Bench, number: signal.Signals) -> None:
    machine = bench.machine()
    pid = machine.start_in_foreground()
    os.kill(pid, number)
    machine.wait_for_end(pid)


def test_after_kill_9_the_next_start_needs_no_help(bench: Bench) -> None:
    machine = bench.machine()
    first = machine.start()
    machine.kill()
    assert machine.command("status").returncode == 3
    assert machine.start() != first
