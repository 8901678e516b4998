"""Signing in with the relay's own passcode."""

import asyncio
import logging
import re
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from host.protocol.errors import AuthorizationPending
from host.protocol.messages.auth import AuthExchange, DeviceToken
from relay_stub.administration import Administration
from relay_stub.oauth.codes import AuthorizationCodes
from relay_stub.oauth.device import DeviceFlow
from relay_stub.oauth.identity.guesses import FOR_ONE, Guesses
from relay_stub.oauth.identity.passcode import PasscodeIdentity, hash_passcode, new_passcode
from relay_stub.oauth.identity.port import Question, Visit
from relay_stub.oauth.tokens import TokenService
from relay_stub.store.audit import AuditLog
from relay_stub.store.database import Database
from relay_stub.store.passcodes import Passcodes
from tests.relay.oauth.browsers import (
    PARAMETERS,
    REDIRECT_URI,
    VERIFIER,
    Client,
    answer_of,
    assert_safe_page,
    authorize,
    browsing,
    page_of,
    post,
)
from tests.relay.oauth.conftest import FakeClock, authorize_device

WRONG = "00000-00000-00000-00000"


@pytest.fixture(autouse=True)
def cheap_hashes(monkeypatch: pytest.MonkeyPatch) -> None:
    """A hash costs a tenth of a second on purpose, and these tests make dozens."""
    monkeypatch.setattr("relay_stub.oauth.identity.passcode._SCRYPT_N", 2**4)


@pytest.fixture
def passcode(database: Database) -> str:
    return Administration(database).make_passcode()


@pytest.fixture
async def browser(
    database: Database, codes: AuthorizationCodes, devices: DeviceFlow, clock: FakeClock, passcode: str
) -> AsyncIterator[Client]:
    provider = PasscodeIdentity(Passcodes(database).stored, Guesses(clock=clock))
    async with browsing(provider, database, codes, devices, clock) as client:
        yield client


def form(passcode: str, **changes: str) -> dict[str, str]:
    return {**PARAMETERS, "login": "owner", "passcode": passcode, "decision": "approve", **changes}


# The passcode itself


def test_a_passcode_is_twenty_characters_that_nobody_misreads() -> None:
    passcodes = {new_passcode() for _ in range(200)}
    assert len(passcodes) == 200
    for passcode in passcodes:
        assert re.fullmatch(r"[0-9A-HJKMNP-TV-Z]{5}(-[0-9A-HJKMNP-TV-Z]{5}){3}", passcode)
    # 32 characters, 20 times: 100 bits.
    assert len(set("".join(passcodes)) - {"-"}) == 32


@pytest.mark.parametrize(
    "typed",
    [str.lower, lambda text: text.replace("-", ""), lambda text: f" {text.replace('-', ' ')}\t", lambda text: text],
)
def test_it_may_be_typed_in_any_fashion(typed: Callable[[str], str]) -> None:
    assert hash_passcode("01AB2-CDEFG-HJKMN-PQRST").admits(typed("01AB2-CDEFG-HJKMN-PQRST"))


async def test_a_passcode_that_is_replaced_while_it_is_looked_at_lets_nobody_in() -> None:
    old, newer = hash_passcode("01AB2-CDEFG-HJKMN-PQRST"), hash_passcode(new_passcode())
    stored = iter([old, newer])
    provider = PasscodeIdentity(lambda: next(stored), Guesses())
    answers = {"passcode": "01AB2-CDEFG-HJKMN-PQRST"}
    assert isinstance(await provider.identify(answers, Visit("192.0.2.1", "https://relay.example")), Question)


def test_letters_that_look_like_digits_are_read_as_those() -> None:
    assert hash_passcode("01112-CDEFG-HJKMN-PQRST").admits("oil12-cdefg-hjkmn-pqrst")


@pytest.mark.parametrize("entered", ["", "x", "01AB2-CDEFG-HJKMN-PQRSV", "\x00", "\udcff", "9" * 10_000])
def test_nothing_else_is_admitted(entered: str) -> None:
    assert not hash_passcode("01AB2-CDEFG-HJKMN-PQRST").admits(entered)


def test_the_same_passcode_never_has_the_same_hash() -> None:
    assert hash_passcode("x").digest != hash_passcode("x").digest


# Coming in


async def test_the_page_is_ready_for_thumbs_and_password_managers(browser: Client) -> None:
    response = await authorize(browser, login_hint="owner")
    await assert_safe_page(response)
    page = await page_of(response)
    assert page.fields == {**PARAMETERS, "login": "owner", "passcode": ""}
    field = page.inputs["passcode"]
    assert (field["type"], field["autocomplete"]) == ("password", "current-password")
    assert "autofocus" in field
    assert "required" in field
    assert page.inputs["login"]["autocomplete"] == "username"


async def test_the_right_passcode_comes_in_as_the_owner(browser: Client, passcode: str, tokens: TokenService) -> None:
    answer = answer_of(await post(browser, "/oauth/authorize", form(passcode.lower())))
    issued = tokens.exchange(AuthExchange(code=answer["code"], code_verifier=VERIFIER, redirect_uri=REDIRECT_URI))
    assert issued.user.login == "owner"


async def test_a_link_alone_lets_nobody_in(browser: Client, passcode: str) -> None:
    response = await authorize(browser, login_hint=passcode, passcode=passcode)
    assert response.status == 200
    assert passcode not in await response.text()


async def test_a_wrong_passcode_is_told_audited_and_never_shown_again(browser: Client, database: Database) -> None:
    response = await post(browser, "/oauth/authorize", form(WRONG))
    assert response.status == 200
    await assert_safe_page(response)
    page = await page_of(response)
    assert "That is not the passcode" in page.text
    assert page.fields == {**PARAMETERS, "login": "owner", "passcode": ""}
    (entry,) = AuditLog(database).last(1)
    assert (entry.event, entry.address, entry.detail) == ("sign-in refused", "127.0.0.1", "wrong passcode")


async def test_a_machine_is_let_in_with_the_passcode_only(
    browser: Client, passcode: str, devices: DeviceFlow, clock: FakeClock
) -> None:
    waiting = authorize_device(devices)
    decision = {"user_code": waiting.user_code, "decision": "approve"}
    assert "That is not" in (await page_of(await post(browser, "/oauth/device", {**decision, "passcode": WRONG}))).text
    with pytest.raises(AuthorizationPending):
        devices.poll(DeviceToken(device_code=waiting.device_code))
    clock.advance(5)
    approved = await post(browser, "/oauth/device", {**decision, "passcode": passcode})
    assert "signed in as owner" in (await page_of(approved)).text
    assert devices.poll(DeviceToken(device_code=waiting.device_code)).user.login == "owner"


async def test_a_wrong_user_code_is_found_before_the_passcode_is_looked_at(browser: Client, passcode: str) -> None:
    decision = {"user_code": "AAAA-AAAA", "decision": "approve"}
    for entered in (WRONG, passcode):
        response = await post(browser, "/oauth/device", {**decision, "passcode": entered})
        assert response.status == 400
        assert "This code is not known" in (await page_of(response)).text


# Guessing


async def test_guessing_is_slowed_for_the_right_passcode_too(browser: Client, passcode: str, clock: FakeClock) -> None:
    for _ in range(FOR_ONE.free + 1):
        assert (await post(browser, "/oauth/authorize", form(WRONG))).status == 200
    slowed = await post(browser, "/oauth/authorize", form(passcode))
    assert slowed.status == 429
    assert slowed.headers["Retry-After"] == "1"
    await assert_safe_page(slowed)
    clock.advance(1)
    assert "code" in answer_of(await post(browser, "/oauth/authorize", form(passcode)))


async def test_guessing_at_once_is_no_way_around(browser: Client) -> None:
    responses = await asyncio.gather(*(post(browser, "/oauth/authorize", form(WRONG)) for _ in range(20)))
    assert sorted(response.status for response in responses) == [200] * (FOR_ONE.free + 1) + [429] * (
        20 - FOR_ONE.free - 1
    )


async def test_a_proxys_word_on_who_guesses_is_not_believed_unasked(browser: Client) -> None:
    for number in range(FOR_ONE.free + 1):
        await post(browser, "/oauth/authorize", form(WRONG), {"X-Forwarded-For": f"192.0.2.{number}"})
    headers = {"X-Forwarded-For": "192.0.2.99"}
    assert (await post(browser, "/oauth/authorize", form(WRONG), headers)).status == 429


async def test_an_empty_answer_is_a_guess_like_any_other(browser: Client) -> None:
    for _ in range(FOR_ONE.free + 1):
        assert (await post(browser, "/oauth/authorize", form(""))).status == 200
    assert (await post(browser, "/oauth/authorize", form(""))).status == 429


# Replacing


async def test_a_new_passcode_voids_the_old_at_once_and_ends_its_sessions(
    browser: Client, passcode: str, database: Database, tokens: TokenService
) -> None:
    answer = answer_of(await post(browser, "/oauth/authorize", form(passcode)))
    tokens.exchange(AuthExchange(code=answer["code"], code_verifier=VERIFIER, redirect_uri=REDIRECT_URI))
    administration = Administration(database)
    assert len(administration.accounts.sessions()) == 1
    newer = administration.make_passcode()
    assert administration.accounts.sessions() == []
    assert "That is not" in (await page_of(await post(browser, "/oauth/authorize", form(passcode)))).text
    assert "code" in answer_of(await post(browser, "/oauth/authorize", form(newer)))


async def test_without_a_passcode_nobody_comes_in(
    database: Database, codes: AuthorizationCodes, devices: DeviceFlow, clock: FakeClock
) -> None:
    provider = PasscodeIdentity(Passcodes(database).stored, Guesses(clock=clock))
    async with browsing(provider, database, codes, devices, clock) as browser:
        assert "That is not" in (await page_of(await post(browser, "/oauth/authorize", form("")))).text


async def test_the_passcode_is_neither_stored_nor_logged(
    browser: Client, passcode: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    await post(browser, "/oauth/authorize", form(passcode))
    await post(browser, "/oauth/authorize", form(WRONG))
    stored = b"".join(path.read_bytes() for path in (tmp_path / "relay").iterdir())
    for secret in (passcode, passcode.replace("-", ""), WRONG, WRONG.replace("-", "")):
        assert secret.encode() not in stored
        assert secret not in caplog.text
