"""A host that starts everything at once, keeps stale files, and runs out of disk."""

import asyncio
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import pytest

from relay_stub.client import RelayClient, RequestFailed
from tests.cli.commands import variables_of
from tests.support.processes import CHECKOUT, Bench, MachineProcess, RelayProcess, eventually, is_alive, processes_below

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]

_STARTS = 20


def test_of_twenty_starts_at_once_one_daemon_comes(bench: Bench) -> None:
    machine = bench.machine()
    with ThreadPoolExecutor(_STARTS) as pool:
        ended = list(pool.map(lambda _: machine.command("start"), range(_STARTS)))
    pid = machine.daemon_pid
    assert pid is not None
    assert "Traceback" not in "".join(each.stderr for each in ended)
    # One that came while the daemon did not answer yet can't know that it will.
    failed = [each.stderr for each in ended if each.returncode != 0]
    assert all("It may be starting" in stderr for stderr in failed)
    said = [each.stdout.splitlines()[0] for each in ended if each.returncode == 0]
    assert said.count(f"PocketCoder started (process {pid}).") == 1
    assert set(said) <= {f"PocketCoder started (process {pid}).", f"PocketCoder is already running (process {pid})."}
    daemons = [argv for argv in processes_below(machine.directory).values() if "host.cli.background" in argv]
    assert len(daemons) == 1
    assert machine.status()["pid"] == pid


def test_stop_spares_a_process_that_has_the_pid_of_a_daemon_long_gone(bench: Bench) -> None:
    machine = bench.machine()
    machine.start()
    machine.kill()
    with subprocess.Popen(["sleep", "100"]) as stranger:
        (machine.home / "daemon.pid").write_text(f"{stranger.pid}\n")
        assert "not running" in machine.command("stop").stderr
        assert is_alive(stranger.pid)
        machine.start()
        machine.stop()
        assert is_alive(stranger.pid)
        stranger.kill()


def fill(file: Path) -> None:
    with suppress(OSError), file.open("wb", buffering=0) as filler:
        while True:
            filler.write(b"x" * 4096)


async def write_until_refused(phone: RelayClient, project_id: str) -> None:
    """The database has a few free pages of its own, so the first may succeed."""
    for number in range(500):
        await phone.request("fs_write", {"path": f"f{number}", "content": "y" * 8192}, session_id=project_id)


@pytest.fixture
def cramped(bench: Bench) -> Iterator[MachineProcess]:
    """A machine whose PocketCoder has a disk of 8 MB."""
    machine = bench.machine()
    machine.home.mkdir()
    mounting = ["mount", "-t", "tmpfs", "-o", "size=8m", "tmpfs", str(machine.home)]
    if subprocess.run(mounting, capture_output=True, check=False).returncode != 0:
        pytest.skip("A small disk can't be mounted here: that needs the superuser.")
    yield machine
    machine.stop()
    subprocess.run(["umount", str(machine.home)], check=True)


async def test_a_full_disk_refuses_what_it_cant_keep_and_the_daemon_lives_on(
    bench: Bench, relay: RelayProcess, cramped: MachineProcess
) -> None:
    await asyncio.to_thread(cramped.login, relay.url)
    project_id = await asyncio.to_thread(cramped.add, bench.project())
    pid = await asyncio.to_thread(cramped.start)
    await asyncio.to_thread(cramped.wait_until_connected)
    filler = cramped.home / "filler"
    async with RelayClient.sign_in(relay.url, "ada") as phone, asyncio.timeout(60):
        fill(filler)
        with pytest.raises(RequestFailed):
            await write_until_refused(phone, project_id)
        answer = await phone.request("fs_read", {"path": "README.md"}, session_id=project_id)
        assert answer["content"] == "# Read me\n"
        status = await asyncio.to_thread(cramped.status)
        assert any("Free some space" in each["reason"] for each in status["degraded"] if each["part"] == "host")
        filler.unlink()
        written = await phone.request("fs_write", {"path": "after", "content": "z"}, session_id=project_id)
        assert written["success"] is True
    assert cramped.daemon_pid == pid


def small_installation(directory: Path) -> Path:
    """A virtual environment like that of the tests; its Python."""
    python = directory / "bin" / "python"
    python.parent.mkdir(parents=True)
    python.symlink_to(Path(sys.executable).resolve())
    (directory / "lib").symlink_to(Path(sys.prefix) / "lib")
    (directory / "pyvenv.cfg").write_text(f"home = {Path(sys.executable).resolve().parent}\n")
    return python


async def test_an_installation_that_is_moved_while_its_daemon_runs_is_told(bench: Bench, relay: RelayProcess) -> None:
    machine, installation = bench.machine(), bench.directory / "installation"
    await asyncio.to_thread(machine.login, relay.url)
    project_id = await asyncio.to_thread(machine.add, bench.project())
    start = [str(small_installation(installation)), "-P", "-m", "host.cli.main", "start"]
    subprocess.run(start, env=variables_of(machine), cwd=CHECKOUT, check=True, capture_output=True)
    await asyncio.to_thread(machine.wait_until_connected)
    installation.rename(bench.directory / "elsewhere")

    async with RelayClient.sign_in(relay.url, "ada") as phone, asyncio.timeout(60):
        with pytest.raises(RequestFailed, match="PocketCoder was moved or removed"):
            await phone.request("command_exec", {"command": "true"}, session_id=project_id)
    examined = await asyncio.to_thread(machine.command, "doctor")
    assert f"{installation}/bin/python is not there any more. Restart it" in examined.stdout


def test_a_full_disk_costs_nobody_the_sign_in(bench: Bench, cramped: MachineProcess) -> None:
    relay = bench.relay("--access-lifetime-s", "4")
    cramped.login(relay.url)
    cramped.start()
    cramped.wait_until_connected()
    filler = cramped.home / "filler"
    fill(filler)
    # When the token is due.
    eventually(lambda: "Free some space" in cramped.relay_status().get("lastError", ""), what="The refusal to renew")
    filler.unlink()
    cramped.succeed("start")
    cramped.wait_until_connected()


def test_a_disk_that_can_only_be_read_is_told_with_what_mends_it(cramped: MachineProcess) -> None:
    cramped.succeed("projects")
    subprocess.run(["mount", "-o", "remount,ro", str(cramped.home)], check=True)
    for arguments in (["start"], ["projects"], ["machine", "label", "x"]):
        refused = cramped.command(*arguments)
        assert refused.returncode == 1
        assert "Read-only file system" in refused.stderr
        assert "Traceback" not in refused.stderr
    examined = cramped.command("doctor")
    assert "Mend: Mount that disk to be written to" in examined.stdout
    assert "Traceback" not in examined.stderr


def test_daemons_of_a_relay_that_was_restarted_do_not_come_all_at_once(bench: Bench) -> None:
    relay = bench.relay()
    machines = [bench.machine() for _ in range(4)]
    for number, machine in enumerate(machines):
        machine.login(relay.url, f"user-{number}")
        machine.start()
        machine.wait_until_connected()
    relay.kill()
    waits = set()
    for machine in machines:
        machine.wait_for_state("reconnecting")
        waits.add(machine.relay_status().get("nextTryAt"))
    relay.start()
    assert len(waits) > 1
    for machine in machines:
        machine.wait_until_connected()
