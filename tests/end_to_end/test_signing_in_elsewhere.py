"""Relays beyond this machine: with a passcode, with GitHub, with TLS, and in the clear where that is asked for."""

import asyncio
import socket
import ssl
from pathlib import Path

import psutil  # type: ignore[import-untyped]
import pytest
import trustme

from host.cli.exit_codes import FAILED
from relay_stub.client import ClientError, RelayClient
from tests.end_to_end.browser import Person, decide_on, login_by_device, phone_of
from tests.relay.oauth.scripted_github import Account, ScriptedGitHub
from tests.support.processes import Bench, MachineProcess, RelayProcess

pytestmark = pytest.mark.slow

OCTOCAT = Account(1, "octocat", "The Octocat")
STRANGER = Account(2, "stranger")


def relay_with_passcode(bench: Bench, *options: str) -> tuple[RelayProcess, str]:
    relay = bench.unstarted_relay("--identity", "passcode", *options)
    passcode = relay.administer("passcode", "--reset").strip().rpartition(" ")[2]
    relay.start()
    return relay, passcode


async def test_an_owner_signs_in_with_the_passcode_at_either_browser(bench: Bench) -> None:
    relay, passcode = relay_with_passcode(bench)
    owner, machine, other = Person({"passcode": passcode}), bench.machine(), bench.machine()
    machine.login(relay.url, "owner", visit=owner.sign_in)
    project_id = machine.add(bench.project())
    machine.start()
    machine.wait_until_connected()
    code, said = login_by_device(other, relay.url, owner.decide)
    assert code == 0, said
    assert f"Signed in as owner at {relay.url}." in said
    async with phone_of(owner, relay.url) as phone, asyncio.timeout(20):
        assert [each["projectId"] for each in await phone.projects()] == [project_id]
    relay.administer("passcode", "--reset")
    assert "The relay ended this sign-in." in machine.wait_for_state("disconnected")["lastError"]


async def test_a_name_alone_lets_nobody_in_where_there_is_a_passcode(bench: Bench) -> None:
    relay, _ = relay_with_passcode(bench)
    with pytest.raises(ClientError, match="Is its identity provider dev"):
        async with RelayClient.sign_in(relay.url, "owner"):
            pass


async def test_a_machine_and_a_phone_are_signed_in_with_github(bench: Bench) -> None:
    async with ScriptedGitHub(at_browser=OCTOCAT).running() as github:
        secret = bench.directory / "github-secret"
        secret.write_text(github.client_secret)
        relay = bench.unstarted_relay(*github_options(github, secret))
        github.callback_uri = f"http://127.0.0.1:{relay.port}/oauth/callback"
        machine = bench.machine()

        def sign_in() -> None:
            relay.start()
            machine.login(relay.url, "octocat", visit=Person().sign_in)
            machine.start()
            machine.wait_until_connected()

        await asyncio.to_thread(sign_in)
        assert machine.auth()["login"] == "octocat"
        async with phone_of(Person(), relay.url) as phone:
            assert phone.welcome["user"]["login"] == "octocat"
            assert [each["connected"] for each in phone.welcome["machines"]] == [True]
        github.at_browser = STRANGER
        assert "This GitHub account may not sign in here." in await asyncio.to_thread(
            page_for_a_stranger, machine, relay.url
        )


def page_for_a_stranger(machine: MachineProcess, relay_url: str) -> str:
    """What somebody who is not let in sees; the code goes on waiting for somebody else."""
    seen: list[str] = []
    with machine.begin("login", "--relay", relay_url, "--device") as login:
        decide_on(login, lambda url: seen.append(Person().decide(url)))
        assert login.poll() is None
        login.kill()
    return seen[0]


def github_options(github: ScriptedGitHub, secret: Path) -> tuple[str, ...]:
    names = ("--github-client-id", github.client_id, "--github-login", OCTOCAT.login)
    places = ("--github-secret-file", str(secret), "--github-url", github.url, "--github-api-url", github.url)
    return "--identity", "github", *names, *places


def test_a_relays_certificate_is_believed_only_if_the_system_or_ssl_cert_file_vouches_for_it(bench: Bench) -> None:
    authority = trustme.CA()
    issued, files = authority.issue_cert("127.0.0.1"), bench.directory / "tls"
    files.mkdir()
    authority.cert_pem.write_to_path(files / "authority.pem")
    issued.private_key_and_cert_chain_pem.write_to_path(files / "relay.pem")
    certificate = str(files / "relay.pem")
    relay, machine = bench.relay("--tls-cert", certificate, "--tls-key", certificate), bench.machine()
    trust = ssl.create_default_context(cafile=files / "authority.pem")
    visit = Person({"login": "ada"}, trust=trust).sign_in
    untrusted = "The relay's TLS certificate is not trusted by this system. SSL_CERT_FILE can name one that is."

    done = machine.command("login", "--relay", relay.url, "--device")
    assert done.returncode == FAILED
    assert untrusted in done.stderr
    assert relay.url in done.stderr
    assert "Traceback" not in done.stderr

    machine.variables["SSL_CERT_FILE"] = str(files / "authority.pem")
    machine.login(relay.url, visit=visit)
    machine.start()
    assert machine.wait_until_connected()["relay"]["url"] == f"wss://127.0.0.1:{relay.port}"
    machine.stop()
    del machine.variables["SSL_CERT_FILE"]
    machine.start()
    assert machine.wait_for_state("connecting")["lastError"] == untrusted


def test_a_relay_in_the_clear_is_used_only_when_told_to_and_warned_of(bench: Bench) -> None:
    address = own_address()
    relay, passcode = relay_with_passcode(bench, "--host", "0.0.0.0", "--insecure")
    url, machine = f"ws://{address}:{relay.port}", bench.machine()
    refused = machine.command("login", "--relay", url, "--no-browser")
    assert refused.returncode == FAILED
    assert "an unencrypted connection is only allowed to this machine" in refused.stderr

    with machine.begin("login", "--relay", url, "--no-browser", "--insecure") as login:
        assert login.stdout is not None
        Person({"passcode": passcode}).sign_in(login.stdout.readline().strip())
        _, said = login.communicate(timeout=30)
    assert login.returncode == 0
    assert "The connection is not encrypted" in said
    machine.start()
    # The sign-in remembers it.
    assert machine.wait_until_connected()["relay"]["url"] == url
    machine.stop()
    machine.variables["GATEWAY_URL"] = url
    by_variable = machine.command("start")
    assert by_variable.returncode == FAILED
    assert "GATEWAY_URL" in by_variable.stderr
    assert "an unencrypted connection is only allowed to this machine" in by_variable.stderr
    del machine.variables["GATEWAY_URL"]


def own_address() -> str:
    """An IPv4 address of this machine that is not loopback."""
    for addresses in psutil.net_if_addrs().values():
        for each in addresses:
            if each.family == socket.AF_INET and not each.address.startswith("127."):
                return str(each.address)
    pytest.skip("This machine has no address but loopback.")
