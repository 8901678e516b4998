"""The end of a sign-in: by the machine itself, or by whoever looks after the relay."""

import asyncio

import pytest

from host.auth.token_store import TokenStore
from relay_stub.client import RelayClient, RequestFailed
from tests.support.processes import Bench, MachineProcess, RelayProcess, eventually

pytestmark = pytest.mark.slow

ENDED = "The relay ended this sign-in. Sign in again with: pocketcoder login"


async def is_good(relay: RelayProcess, refresh_token: str) -> bool:
    """Whether the relay gives new tokens for this one."""
    async with RelayClient.connect(relay.url, path="/ws/daemon") as peer, asyncio.timeout(10):
        try:
            await peer.request("token_refresh", {"refreshToken": refresh_token})
        except RequestFailed as refused:
            return refused.error.code != "UNAUTHORIZED"
    return True


def connected(bench: Bench) -> tuple[RelayProcess, MachineProcess, str]:
    """A relay, a machine whose daemon is connected, and its project."""
    relay, machine = bench.relay(), bench.machine()
    machine.login(relay.url)
    project_id = machine.add(bench.project())
    machine.start()
    machine.wait_until_connected()
    return relay, machine, project_id


async def test_signing_out_ends_the_sign_in_at_the_relay_and_closes_the_link(bench: Bench) -> None:
    relay, machine, _ = connected(bench)
    before, pid = machine.auth(), machine.daemon_pid
    async with RelayClient.sign_in(relay.url, "ada") as phone, asyncio.timeout(30):
        assert await asyncio.to_thread(machine.succeed, "logout") == f"Signed out from {relay.url}.\n"
        assert (await phone.events.get())["payload"]["connected"] is False
    assert machine.wait_for_state("disconnected")["lastError"] == "Nobody is signed in. Sign in with: pocketcoder login"
    assert machine.status()["loggedIn"] is False
    assert machine.auth() == {"machine_key": before["machine_key"], "relay_url": relay.url}
    assert not await is_good(relay, before["refresh_token"])
    assert "signed out" in relay.administer("audit")
    assert machine.command("logout").stdout == "Nobody was signed in.\n"
    # The relay is remembered.
    url_of_page = machine.begin("login", "--no-browser")
    assert url_of_page.stdout is not None
    assert url_of_page.stdout.readline().startswith(f"http://127.0.0.1:{relay.port}/oauth/authorize?")
    url_of_page.kill()
    url_of_page.communicate()
    machine.login(relay.url)
    after = machine.wait_until_connected()
    assert (after["machineKey"], machine.daemon_pid) == (before["machine_key"], pid)


def test_a_relay_that_is_gone_keeps_nobody_from_signing_out(bench: Bench) -> None:
    relay, machine, _ = connected(bench)
    before = machine.auth()
    relay.kill()
    done = machine.command("logout")
    assert (done.returncode, done.stdout) == (0, f"Signed out from {relay.url}.\n")
    assert "The relay could not be told" in done.stderr
    assert "pocketcoder-relay sessions" in done.stderr
    assert machine.auth() == {"machine_key": before["machine_key"], "relay_url": relay.url}
    assert "Nobody is signed in" in machine.wait_for_state("disconnected")["lastError"]


@pytest.mark.parametrize("whole_user", [True, False], ids=["user", "session"])
async def test_a_daemon_whose_sign_in_is_revoked_stays_says_so_and_comes_back_after_login(
    bench: Bench, whole_user: bool
) -> None:
    relay, machine, project_id = connected(bench)
    before, pid = machine.auth(), machine.daemon_pid
    (row,) = [line for line in relay.administer("sessions").splitlines() if "host" in line]
    assert relay.administer("revoke", *(["--user", "ada"] if whole_user else [row.split()[0]])).startswith("Revoked")
    revoked = machine.wait_for_state("disconnected")
    eventually(lambda: machine.relay_status()["lastError"] == ENDED, what="The reason")
    assert "nextTryAt" not in revoked
    page = machine.command("status")
    assert page.returncode == 4
    assert ENDED in page.stdout
    assert "sign in with: pocketcoder login" in page.stdout
    assert machine.status()["loggedIn"] is False
    assert ENDED in machine.log
    assert not await is_good(relay, before["refresh_token"])
    tries = machine.log.count("Next try in")

    machine.login(relay.url)
    after = machine.wait_until_connected()
    assert (machine.daemon_pid, after["machineKey"]) == (pid, before["machine_key"])
    assert "lastError" not in after["relay"]
    assert machine.log.count("Next try in") == tries
    async with RelayClient.sign_in(relay.url, "ada") as phone, asyncio.timeout(15):
        answer = await phone.request("fs_read", {"path": "README.md"}, session_id=project_id)
        assert answer["content"] == "# Read me\n"


def test_a_new_sign_in_is_noticed_also_when_the_daemon_could_not_be_told(bench: Bench) -> None:
    """As after a login with another control port, or by a copy of the tokens."""
    relay, machine, _ = connected(bench)
    relay.administer("revoke", "--user", "ada")
    eventually(lambda: machine.relay_status().get("lastError") == ENDED, what="The reason")
    other = bench.machine()
    other.login(relay.url)
    tokens = TokenStore(other.home / "auth.json").tokens()
    assert tokens is not None
    TokenStore(machine.home / "auth.json").sign_in(tokens)
    machine.wait_until_connected()
