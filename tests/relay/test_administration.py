"""Looking after a relay from the command line, while it runs and while it does not."""

import asyncio
import os
import re
import signal
import stat
from collections.abc import AsyncIterator
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import aiohttp
import jwt
import pytest
from typer.testing import CliRunner, Result

from host.protocol.messages.auth import HOST_CLIENT_ID, WEB_CLIENT_ID, AuthExchange, TokenRefresh, Tokens
from relay_stub import outside_changes
from relay_stub.administration import Administration
from relay_stub.app import run_relay
from relay_stub.cli import app
from relay_stub.client import RelayClient, RequestFailed, authorize
from relay_stub.config import RelayConfig
from relay_stub.store.database import Database
from tests.relay.oauth.browsers import PARAMETERS, REDIRECT_URI, VERIFIER
from tests.relay.programs import line_of, program
from tests.support.relay import (
    ScriptedDaemon,
    assert_closed_as_unauthorized,
    error_of,
    refresh,
    reuse_first_refresh_token,
    running_relay,
    settled,
    sign_in,
)

pytestmark = pytest.mark.slow


@pytest.fixture
def data_dir(tmp_path: Path) -> Path:
    return tmp_path / "relay"


@pytest.fixture
async def url(data_dir: Path) -> AsyncIterator[str]:
    async with running_relay(data_dir) as url:
        yield url


def run(data_dir: Path, *arguments: str) -> Result:
    return CliRunner().invoke(app, [*arguments, "--data-dir", str(data_dir)])


async def succeed(data_dir: Path, *arguments: str) -> str:
    """Run the command beside the relay; return what it printed."""
    result = await asyncio.to_thread(run, data_dir, *arguments)
    assert result.exit_code == 0, result.output
    return result.stdout


def rows(printed: str) -> list[list[str]]:
    """A table's cells without its head."""
    return [re.split(r"\s{2,}", line) for line in printed.splitlines()[1:]]


async def session_ids(data_dir: Path, *arguments: str) -> list[str]:
    return [row[0] for row in rows(await succeed(data_dir, "sessions", *arguments))]


# Looking


async def test_users_and_sessions_say_who_what_and_from_where(data_dir: Path, url: str) -> None:
    async with (
        ScriptedDaemon.connect(url, "alice", label="Desk"),
        RelayClient.sign_in(url, "alice", device="Pixel"),
        RelayClient.sign_in(url, "bob"),
    ):
        assert [row[:2] for row in rows(await succeed(data_dir, "users"))] == [["alice", "dev"], ["bob", "dev"]]
        listed = rows(await succeed(data_dir, "sessions", "--user", "ALICE"))
        assert sorted(row[1:5] for row in listed) == [
            ["alice", "host", "Desk", "127.0.0.1"],
            ["alice", "web", "Pixel", "127.0.0.1"],
        ]
        assert all(
            re.fullmatch(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d[+-]\d\d:\d\d", cell) for row in listed for cell in row[5:]
        )
        assert len(await session_ids(data_dir)) == 3


async def test_what_calls_itself_by_control_characters_moves_no_cursor(data_dir: Path, url: str) -> None:
    async with RelayClient.sign_in(url, "alice", device="\x1b[2J\nroot  web"):
        printed = await succeed(data_dir, "sessions")
        assert "\x1b" not in printed
        assert len(printed.splitlines()) == 2


async def test_looking_changes_nothing_and_needs_no_running_relay(data_dir: Path) -> None:
    async with running_relay(data_dir) as url:
        await sign_in(url, "alice")
    assert len(await session_ids(data_dir)) == 1
    async with running_relay(data_dir):
        assert len(await session_ids(data_dir)) == 1


@pytest.mark.parametrize("command", ["users", "sessions", "audit", "rotate-keys", "passcode"])
def test_a_directory_that_is_not_there_is_named_and_not_made(tmp_path: Path, command: str) -> None:
    result = run(tmp_path / "nowhere", command)
    assert result.exit_code == 1
    assert result.stderr.startswith(f"There is no data directory {tmp_path / 'nowhere'}.")
    assert not (tmp_path / "nowhere").exists()


@pytest.mark.parametrize(
    "arguments", [("users",), ("sessions",), ("audit",), ("rotate-keys",), ("passcode",), ("revoke", "--user", "alice")]
)
def test_a_directory_without_a_relays_data_is_named_and_left_as_it_is(
    tmp_path: Path, arguments: tuple[str, ...]
) -> None:
    """Else a lost phone would seem to be signed out already."""
    result = run(tmp_path, *arguments)
    assert result.exit_code == 1
    assert result.stderr.startswith(f"The directory {tmp_path} holds no data of a relay.")
    assert list(tmp_path.iterdir()) == []


# Revoking


async def test_a_revoked_session_is_closed_at_once_and_no_other(data_dir: Path, url: str) -> None:
    async with RelayClient.sign_in(url, "alice") as other, ScriptedDaemon.connect(url, "alice") as daemon:
        (daemons,) = [row[0] for row in rows(await succeed(data_dir, "sessions")) if row[2] == "host"]
        assert await succeed(data_dir, "revoke", daemons) == "Revoked 1 session(s).\n"
        await assert_closed_as_unauthorized(daemon.peer)
        assert daemons not in await session_ids(data_dir)
        assert [message["type"] for message in await settled(other)].count("error") == 0
        async with RelayClient.connect(url) as stranger:
            assert (await error_of(stranger, "token_refresh", payload=refresh(daemon.tokens))).code == "UNAUTHORIZED"


async def test_all_of_a_users_sessions_are_revoked_together(data_dir: Path, url: str) -> None:
    async with RelayClient.sign_in(url, "alice") as phone, RelayClient.sign_in(url, "bob") as bob:
        await sign_in(url, "alice")
        assert await succeed(data_dir, "revoke", "--user", "alice") == "Revoked 2 session(s).\n"
        await assert_closed_as_unauthorized(phone)
        assert await bob.projects() == []


async def test_who_was_let_in_and_has_no_session_yet_does_not_escape(data_dir: Path, url: str) -> None:
    async with aiohttp.ClientSession() as http, RelayClient.sign_in(url, "alice") as phone:
        code, verifier, redirect_uri = await authorize(http, url, "alice")
        async with RelayClient.connect(url) as device:
            waiting = await device.request("device_authorize", {"clientId": HOST_CLIENT_ID})
            form = {"user_code": waiting["userCode"], "decision": "approve", "login": "alice"}
            async with http.post(waiting["verificationUri"], data=form) as page:
                assert page.status == 200
            await succeed(data_dir, "revoke", "--user", "alice")
            await assert_closed_as_unauthorized(phone)
            polled = await error_of(device, "device_token", payload={"deviceCode": waiting["deviceCode"]})
            assert polled.code == "EXPIRED_TOKEN"
            with pytest.raises(RequestFailed, match="UNAUTHORIZED"):
                await device.tokens(AuthExchange(code=code, code_verifier=verifier, redirect_uri=redirect_uri))


async def test_a_session_revoked_while_the_relay_was_down_stays_so(data_dir: Path) -> None:
    async with running_relay(data_dir) as url:
        tokens = await sign_in(url, "alice")
    await succeed(data_dir, "revoke", "--user", "alice")
    async with running_relay(data_dir) as url, RelayClient.connect(url) as stranger:
        assert (await error_of(stranger, "token_refresh", payload=refresh(tokens))).code == "UNAUTHORIZED"


async def test_revoking_nothing_is_said(data_dir: Path, url: str) -> None:
    for arguments, said in (
        (("revoke", "ses_nothing"), "There is no session 'ses_nothing'."),
        (("revoke", "--user", "nobody"), "'nobody' has no sessions."),
    ):
        result = await asyncio.to_thread(run, data_dir, *arguments)
        assert result.exit_code == 1
        assert said in result.stderr
    for unclear in (("revoke",), ("revoke", "ses_x", "--user", "alice")):
        assert (await asyncio.to_thread(run, data_dir, *unclear)).exit_code == 2


async def test_another_identity_provider_ends_what_the_first_vouched_for(data_dir: Path) -> None:
    async with running_relay(data_dir) as url:
        tokens = await sign_in(url, "alice")
    config = RelayConfig(data_dir, port=0, identity="passcode")
    async with run_relay(config, show_passcode=lambda _: None) as url:
        assert await session_ids(data_dir) == []
        async with RelayClient.connect(url) as stranger:
            assert (await error_of(stranger, "token_refresh", payload=refresh(tokens))).code == "UNAUTHORIZED"


# Keys


def kid_of(tokens: Tokens) -> str:
    return str(jwt.get_unverified_header(tokens.access_token)["kid"])


async def test_a_rotated_key_signs_at_once_and_the_old_one_verifies_also_after_a_restart(data_dir: Path) -> None:
    async with running_relay(data_dir) as url:
        old = await sign_in(url, "alice")
        async with RelayClient.connect(url) as phone:
            await phone.hello(old.access_token)
            await succeed(data_dir, "rotate-keys")
            newer = await refreshed_with_another_key(phone, old)
            await phone.hello(newer.access_token)
        async with RelayClient.connect(url) as phone:
            await phone.hello(old.access_token)
    async with running_relay(data_dir) as url:
        for tokens in (old, newer):
            async with RelayClient.connect(url) as phone:
                await phone.hello(tokens.access_token)
        assert kid_of(await sign_in(url, "alice")) == kid_of(newer)


async def refreshed_with_another_key(phone: RelayClient, tokens: Tokens) -> Tokens:
    """Refresh until the relay has heard of the rotation."""
    old = kid_of(tokens)
    async with asyncio.timeout(10):
        while kid_of(tokens) == old:
            tokens = await phone.tokens(TokenRefresh(refresh_token=tokens.refresh_token))
    return tokens


# The passcode


async def test_a_passcode_is_made_on_request_and_is_good_at_once(data_dir: Path) -> None:
    made = await succeed(data_dir, "passcode", "--reset")
    passcode = made.removeprefix("The new passcode, shown only now: ").strip()
    assert re.fullmatch(r"(\w{5}-){3}\w{5}", passcode)
    assert stat.S_IMODE(data_dir.stat().st_mode) == 0o700
    assert passcode not in await succeed(data_dir, "passcode")
    async with running_relay(data_dir, identity="passcode") as url:
        assert await sign_in_with(url, passcode)
        newer = (await succeed(data_dir, "passcode", "--reset")).split()[-1]
        assert not await sign_in_with(url, passcode)
        assert await sign_in_with(url, newer)


async def test_a_reset_passcode_closes_the_connections_of_the_old(data_dir: Path) -> None:
    shown: list[str] = []
    config = RelayConfig(data_dir, port=0, identity="passcode")
    async with run_relay(config, show_passcode=shown.append) as url, RelayClient.connect(url) as phone:
        code, verifier, redirect_uri = await answer_with(url, shown[0])
        tokens = await phone.tokens(AuthExchange(code=code, code_verifier=verifier, redirect_uri=redirect_uri))
        assert tokens.user.login == "owner"
        await phone.hello(tokens.access_token)
        await succeed(data_dir, "passcode", "--reset")
        await assert_closed_as_unauthorized(phone)


async def test_a_reset_passcode_lets_nobody_in_any_more_before_the_relay_has_looked_again(
    data_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A session that begins after the reset would not be among those that it ended."""
    monkeypatch.setattr(outside_changes, "LOOK_INTERVAL_S", 3600.0)
    shown: list[str] = []
    config = RelayConfig(data_dir, port=0, identity="passcode")
    async with run_relay(config, show_passcode=shown.append) as url, RelayClient.connect(url) as thief:
        code, verifier, redirect_uri = await answer_with(url, shown[0])
        waiting = await thief.request("device_authorize", {"clientId": HOST_CLIENT_ID})
        form = {"user_code": waiting["userCode"], "decision": "approve", "passcode": shown[0]}
        async with aiohttp.ClientSession() as http, http.post(waiting["verificationUri"], data=form) as page:
            assert page.status == 200
        await succeed(data_dir, "passcode", "--reset")
        polled = await error_of(thief, "device_token", payload={"deviceCode": waiting["deviceCode"]})
        assert polled.code == "EXPIRED_TOKEN"
        with pytest.raises(RequestFailed, match="UNAUTHORIZED"):
            await thief.tokens(AuthExchange(code=code, code_verifier=verifier, redirect_uri=redirect_uri))
        assert await session_ids(data_dir) == []


async def test_without_a_terminal_a_first_passcode_is_not_shown_but_asked_for(tmp_path: Path) -> None:
    """A service's output ends in a log."""
    data_dir = tmp_path / "relay"
    arguments = ("serve", "--port", "0", "--identity", "passcode", "--data-dir", str(data_dir))
    async with program(tmp_path, *arguments) as relay:
        said = await line_of(relay.stderr)
        assert said == (
            "There is no passcode yet, and no terminal to show a new one. "
            f"Make one with: pocketcoder-relay passcode --reset --data-dir {data_dir}"
        )
        assert await relay.wait() == 1
    await succeed(data_dir, "passcode", "--reset")
    async with program(tmp_path, *arguments) as relay:
        assert (await line_of(relay.stdout)).startswith("Relay listening on")
        relay.send_signal(signal.SIGTERM)
        stdout, stderr = await relay.communicate()
        assert b"passcode" not in stdout.lower() + stderr.lower()


async def test_at_a_terminal_the_first_start_shows_the_passcode_once(tmp_path: Path) -> None:
    arguments = ("serve", "--port", "0", "--identity", "passcode", "--data-dir", str(tmp_path / "relay"))
    for is_first in (True, False):
        controller, terminal = os.openpty()
        async with program(tmp_path, *arguments, stdout=terminal) as relay:
            os.close(terminal)
            said = await asyncio.to_thread(read_until, controller, b"Relay listening")
            assert (re.search(rb"passcode, shown only now: (\w{5}-){3}\w{5}", said) is not None) is is_first
            relay.send_signal(signal.SIGTERM)
            assert await relay.wait() == 0
        os.close(controller)


def read_until(descriptor: int, mark: bytes) -> bytes:
    said = b""
    while mark not in said:
        said += os.read(descriptor, 4096)
    return said


async def sign_in_with(url: str, passcode: str) -> bool:
    return (await answer_with(url, passcode))[0] != ""


async def answer_with(url: str, passcode: str) -> tuple[str, str, str]:
    """Send the page's form; return (code, verifier, redirect URI), the code empty for a wrong passcode."""
    form = {**PARAMETERS, "client_id": WEB_CLIENT_ID, "passcode": passcode, "decision": "approve"}
    async with (
        aiohttp.ClientSession() as http,
        http.post(f"{url}/oauth/authorize", data=form, allow_redirects=False) as response,
    ):
        query = parse_qs(urlsplit(response.headers.get("Location", "")).query)
    return query.get("code", [""])[0], VERIFIER, REDIRECT_URI


# The audit log


async def test_the_audit_log_tells_what_happened_at_the_door(data_dir: Path, url: str) -> None:
    first = await sign_in(url, "alice")
    await reuse_first_refresh_token(url, first)
    async with RelayClient.sign_in(url, "bob"):
        await succeed(data_dir, "revoke", "--user", "bob")
    await succeed(data_dir, "rotate-keys")
    printed = [re.split(r"\s{2,}", line) for line in (await succeed(data_dir, "audit")).splitlines()]
    assert [entry[1:3] for entry in printed[:4]] == [
        ["signed in", "alice"],
        ["refresh token used twice", "alice"],
        ["signed in", "bob"],
        ["revoked", "bob"],
    ]
    assert printed[0][3] == "127.0.0.1"
    assert printed[0][4].endswith(" pocketcoder-web")
    assert printed[4][1:] == ["keys rotated", "command line"]
    last = (await succeed(data_dir, "audit", "-n", "1")).splitlines()
    assert [re.split(r"\s{2,}", line)[1] for line in last] == ["keys rotated"]


async def test_the_audit_log_can_be_followed(data_dir: Path, url: str, tmp_path: Path) -> None:
    await sign_in(url, "alice")
    async with program(tmp_path, "audit", "--tail", "--data-dir", str(data_dir)) as following:
        assert "alice" in await line_of(following.stdout)
        await sign_in(url, "bob")
        assert "bob" in await line_of(following.stdout)
        following.send_signal(signal.SIGINT)
        assert await asyncio.wait_for(following.wait(), 10) == 130


async def test_no_token_stands_in_the_audit_log(data_dir: Path, url: str) -> None:
    tokens = await sign_in(url, "alice")
    await reuse_first_refresh_token(url, tokens)
    printed = await succeed(data_dir, "audit")
    for secret in (tokens.access_token, *tokens.refresh_token.split(".")):
        assert secret not in printed


# Beside a running relay


def test_a_command_beside_a_relay_sees_its_database_and_leaves_its_lock(data_dir: Path) -> None:
    relay = Database.open(data_dir)
    seen = relay.changes_of_others()
    beside = Database.open_beside(data_dir)
    assert relay.changes_of_others() == seen
    Administration(beside).rotate_keys()
    assert relay.changes_of_others() != seen
    beside.close()
    relay.close()
    Database.open(data_dir).close()
