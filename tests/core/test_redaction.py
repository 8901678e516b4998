import pytest

from host.core.redaction import REDACTED, Redactor, without_url_credentials

JWT = "eyJhbGciOiJFUzI1NiJ9.eyJzdWIiOiJ1XzEifQ.c2lnbmF0dXJl-_"
SECRET = "Zq3-vN_81xPl0aTT"


@pytest.mark.parametrize(
    "text",
    [
        f"Authorization: Bearer {SECRET}",
        f"'authorization': 'bearer {SECRET}'",
        f'{{"accessToken":"{SECRET}","expiresInS":900}}',
        f'{{"refreshToken": "{SECRET}"}}',
        f"{{'refresh_token': '{SECRET}'}}",
        rf'"{{\"codeVerifier\":\"{SECRET}\"}}"',
        f"AuthExchange(code='{SECRET}', code_verifier='{SECRET}')",
        f"GET /callback?code={SECRET}&state=abc",
        f"https://relay.example/x?access_token={SECRET}",
        f'{{"deviceCode":"{SECRET}","userCode":"{SECRET}"}}',
        f"token={SECRET}",
        f"sent {JWT} to the relay".replace(JWT, f"{JWT}{SECRET}"),
        f"half of one: eyJhbGciOiJFUzI1NiJ9.{SECRET}",
    ],
)
def test_what_looks_like_a_secret_is_taken_out(text: str) -> None:
    cleaned = Redactor().clean(text)

    assert SECRET not in cleaned
    assert REDACTED in cleaned


@pytest.mark.parametrize(
    "text",
    [
        '{"error":{"code":"OUTSIDE_PROJECT_ROOT","message":"x"}}',
        "closed with code=4401",
        '{"exitCode":1234567890123}',
        "The refresh token was refused. Sign in again with: pocketcoder login",
        '{"path":"src/tokens.py","codes":["a"]}',
    ],
)
def test_ordinary_text_stays_as_it_is(text: str) -> None:
    assert Redactor().clean(text) == text


def test_the_rest_of_a_message_stays_readable() -> None:
    cleaned = Redactor().clean(f'{{"accessToken":"{SECRET}","expiresInS":900}}')

    assert cleaned == f'{{"accessToken":"{REDACTED}","expiresInS":900}}'


def test_a_secret_that_holds_another_is_taken_out_whole() -> None:
    redactor = Redactor()
    redactor.add("abcdef")
    redactor.add("abcdef-and-more")

    assert redactor.clean("x abcdef-and-more y abcdef") == f"x {REDACTED} y {REDACTED}"


def test_a_secret_too_short_to_be_one_is_left() -> None:
    redactor = Redactor()
    redactor.add("")
    redactor.add("file")

    assert redactor.clean("the file") == "the file"


def test_the_latest_secrets_are_remembered_and_the_oldest_forgotten() -> None:
    redactor = Redactor()
    for number in range(65):
        redactor.add(f"secret-{number:03}")

    assert redactor.clean("secret-000 secret-001 secret-064") == f"secret-000 {REDACTED} {REDACTED}"


@pytest.mark.parametrize(
    "url",
    [
        f"https://ada:{SECRET}@example.com/x.git",
        f"HTTP://{SECRET}@127.0.0.1:80/",
        f"fatal: unable to access 'https://{SECRET}:x-oauth-basic@example.com/': no route",
        f"https://ada:with@{SECRET}@example.com",
        f"ssh://git:{SECRET}@example.com/x.git",
    ],
)
def test_what_lets_one_in_is_taken_out_of_urls(url: str) -> None:
    for cleaned in (without_url_credentials(url), Redactor().clean(url)):
        assert SECRET not in cleaned
        assert REDACTED in cleaned
        assert "example.com" in cleaned or "127.0.0.1:80" in cleaned


@pytest.mark.parametrize(
    "url", ["ssh://git@example.com/x", "git@example.com:x", "https://example.com/a@b", "http://[::1]:80/x", "a: b@c"]
)
def test_a_url_that_lets_nobody_in_stays(url: str) -> None:
    assert without_url_credentials(url) == url
