"""Which way of signing in is taken, and signing in a machine by a browser elsewhere."""

import io
import os
import pty
import re
import signal
import sys

import pytest
import segno

from host.cli.exit_codes import FAILED
from tests.end_to_end.browser import Person, decide_on, login_by_device
from tests.support.processes import Bench, eventually, processes_below

pytestmark = pytest.mark.slow

ADA = Person({"login": "ada"})


def test_a_machine_without_a_browser_shows_a_code_and_is_signed_in_once_it_is_approved(bench: Bench) -> None:
    relay, machine = bench.relay(), bench.machine()
    with machine.begin("login", "--relay", relay.url) as login:
        decide_on(login, ADA.decide)
        out, said = login.communicate(timeout=30)
    assert (login.returncode, out) == (0, "")
    assert f"Signed in as ada at {relay.url}." in said
    machine.start()
    assert machine.wait_until_connected()["user"]["login"] == "ada"


def test_a_machine_that_is_refused_says_so_and_keeps_who_was_signed_in(bench: Bench) -> None:
    relay, machine = bench.relay(), bench.machine()
    machine.login(relay.url, "grace")
    before = machine.auth()
    code, said = login_by_device(machine, relay.url, lambda url: ADA.decide(url, "deny"))
    assert code == FAILED
    assert "The sign-in was refused on the other device. Run pocketcoder login again." in said
    assert machine.auth() == before


def test_a_relay_that_is_gone_for_a_moment_makes_a_code_unknown_and_that_is_told(bench: Bench) -> None:
    """The relay keeps codes in memory only."""
    relay, machine = bench.relay(), bench.machine()

    def restart(_url: str) -> None:
        relay.kill()
        relay.start()

    code, said = login_by_device(machine, relay.url, restart)
    assert code == FAILED
    assert "The code was not confirmed in time. Run pocketcoder login again." in said


def test_a_machine_with_a_browser_opens_it(bench: Bench) -> None:
    relay, machine = bench.relay(), bench.machine()
    browser = bench.directory / "browser"
    browser.write_text(
        f"#!{sys.executable}\nimport sys, urllib.request\n"
        'urllib.request.urlopen(sys.argv[1] + "&login_hint=ada", timeout=20).close()\n'
    )
    browser.chmod(0o700)
    machine.variables |= {"DISPLAY": ":0", "BROWSER": f"{browser} %s"}
    done = machine.command("login", "--relay", relay.url)
    assert done.returncode == 0, done.stderr
    assert f"Signed in as ada at {relay.url}." in done.stderr
    # The same machine, reached from elsewhere: nobody would see that browser.
    machine.variables["SSH_CONNECTION"] = "192.0.2.1 50000 192.0.2.2 22"
    with machine.begin("login", "--relay", relay.url) as login:
        decide_on(login, Person({"login": "grace"}).decide)
        _, said = login.communicate(timeout=30)
    assert f"Signed in as grace at {relay.url}." in said


def test_a_browser_that_does_not_return_keeps_nobody_waiting(bench: Bench) -> None:
    relay, machine = bench.relay(), bench.machine()
    browser = bench.directory / "browser"
    browser.write_text("#!/bin/sh\nexec sleep 40\n")
    browser.chmod(0o700)
    machine.variables |= {"DISPLAY": ":0", "BROWSER": f"{browser} %s"}
    with machine.begin("login", "--relay", relay.url) as login:
        assert login.stdout is not None
        url = login.stdout.readline().strip()
        eventually(lambda: ["sleep", "40"] in processes_below(machine.directory).values(), what="The browser")
        ADA.sign_in(url)
        # The browser holds its output open.
        assert login.wait(30) == 0
    assert machine.auth()["login"] == "ada"
    ((pid, arguments),) = processes_below(machine.directory).items()
    assert arguments == ["sleep", "40"]
    os.kill(pid, signal.SIGKILL)
    eventually(lambda: not processes_below(machine.directory), what="The browser's end")


def test_a_terminal_is_shown_a_code_to_scan(bench: Bench) -> None:
    relay, machine = bench.relay(), bench.machine()
    screen, terminal = pty.openpty()
    with machine.begin("login", "--relay", relay.url, "--device", stderr=terminal) as login:
        os.close(terminal)
        seen = b""
        while b"minutes." not in seen:
            seen += os.read(screen, 4096)
        login.kill()
    os.close(screen)
    said = seen.decode()
    (code,) = re.findall(r"confirm the code (\S+) ", said)
    expected = io.StringIO()
    segno.make(f"http://127.0.0.1:{relay.port}/oauth/device?user_code={code}", micro=False).terminal(
        expected, compact=True
    )
    assert expected.getvalue().splitlines() == said.splitlines()[: len(expected.getvalue().splitlines())]
