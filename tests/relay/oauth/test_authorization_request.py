from urllib.parse import parse_qs, urlsplit

import pytest

from relay_stub.oauth.authorization_request import (
    AuthorizationRequest,
    PageRefusal,
    RedirectRefusal,
    is_accepted_redirect_uri,
    parse_authorization_request,
)

ORIGIN = "https://relay.example"
CHALLENGE = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM"
GOOD = {
    "response_type": "code",
    "client_id": "pocketcoder-host",
    "redirect_uri": "http://127.0.0.1:4000/callback",
    "state": "abc",
    "code_challenge": CHALLENGE,
    "code_challenge_method": "S256",
}


def parse(**changes: str | None) -> AuthorizationRequest:
    parameters = {name: value for name, value in {**GOOD, **changes}.items() if value is not None}
    return parse_authorization_request(parameters, own_origin=ORIGIN)


def test_a_good_request_is_understood_and_can_be_asked_again() -> None:
    request = parse()
    assert request == AuthorizationRequest("pocketcoder-host", "http://127.0.0.1:4000/callback", "abc", CHALLENGE)
    assert request.parameters() == GOOD


@pytest.mark.parametrize(
    "uri",
    [
        "http://127.0.0.1:4000/callback",
        "http://127.0.0.1",
        "http://127.0.0.1/any/path?and=query",
        "http://[::1]:4000/callback",
        "http://[::1]",
        "https://relay.example/",
        "https://relay.example/app/callback?x=1",
        "https://relay.example",
    ],
)
def test_loopback_and_the_relays_own_origin_are_accepted(uri: str) -> None:
    assert parse(redirect_uri=uri).redirect_uri == uri


@pytest.mark.parametrize(
    "uri",
    [
        "",
        "callback",
        "//127.0.0.1/callback",
        "https://127.0.0.1/callback",
        "http://localhost:4000/callback",
        "http://127.0.0.1.evil.example/",
        "http://127.0.0.1@evil.example/",
        "http://127.0.0.1:4000@evil.example/",
        "http://user@127.0.0.1/",
        "http://127.0.0.1\\@evil.example/",
        "http://127.0.0.1/\\evil.example",
        "http://127.0.0.1:port/",
        "http://127.0.0.1:/",
        "http://127.0.0.1:123456/",
        "http://127.0.0.2/",
        "http://0x7f000001/",
        "http://2130706433/",
        "http://[::ffff:127.0.0.1]/",
        "http://127.0.0.1/callback#fragment",
        "http://127.0.0.1/a b",
        "http://127.0.0.1/\r\nSet-Cookie: x=1",
        "http://127.0.0.1/callback\n",
        "http://127.0.0.1/é",
        " http://127.0.0.1/",
        "javascript:alert(1)//http://127.0.0.1/",
        "https://relay.example.evil.example/",
        "https://relay.example:444/",
        "https://relayXexample/",
        "http://relay.example/",
        "https://evil.example/",
        "http://127.0.0.1/" + "a" * 2048,
    ],
)
def test_no_other_address_is_ever_redirected_to(uri: str) -> None:
    assert not is_accepted_redirect_uri(uri, own_origin=ORIGIN)
    with pytest.raises(PageRefusal, match="does not accept"):
        parse(redirect_uri=uri, response_type="token")


@pytest.mark.parametrize("client_id", [None, "", "pocketcoder", "pocketcoder-host "])
def test_an_unknown_client_is_told_on_a_page(client_id: str | None) -> None:
    with pytest.raises(PageRefusal, match="no client that this relay knows"):
        parse(client_id=client_id)


def test_a_missing_redirect_uri_is_told_on_a_page() -> None:
    with pytest.raises(PageRefusal, match="does not accept"):
        parse(redirect_uri=None)


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"response_type": None}, "unsupported_response_type"),
        ({"response_type": "token"}, "unsupported_response_type"),
        ({"code_challenge_method": None}, "invalid_request"),
        ({"code_challenge_method": "plain"}, "invalid_request"),
        ({"code_challenge": None}, "invalid_request"),
        ({"code_challenge": "a" * 42}, "invalid_request"),
        ({"code_challenge": "a" * 129}, "invalid_request"),
        ({"code_challenge": "a" * 42 + "="}, "invalid_request"),
    ],
)
def test_other_faults_are_told_to_the_client(changes: dict[str, str | None], error: str) -> None:
    with pytest.raises(RedirectRefusal) as refusal:
        parse(**changes)
    answer = urlsplit(refusal.value.uri)
    assert f"{answer.scheme}://{answer.netloc}{answer.path}" == GOOD["redirect_uri"]
    assert parse_qs(answer.query)["error"] == [error]
    assert parse_qs(answer.query)["state"] == ["abc"]


@pytest.mark.parametrize("state", [None, "", "x" * 513, "a\nb", "é"])
def test_a_state_that_is_none_is_not_given_back(state: str | None) -> None:
    with pytest.raises(RedirectRefusal) as refusal:
        parse(state=state)
    answer = parse_qs(urlsplit(refusal.value.uri).query)
    assert answer["error"] == ["invalid_request"]
    assert "state" not in answer


def test_the_answer_keeps_the_redirect_uris_own_query_and_the_state_as_it_was() -> None:
    request = parse(redirect_uri="http://127.0.0.1:4000/cb?x=1&y=%26", state="a&b=c d" + "x" * 505)
    uri = request.answer_uri("c0de")
    assert uri.startswith("http://127.0.0.1:4000/cb?x=1&y=%26&code=c0de&state=")
    assert parse_qs(urlsplit(uri).query)["state"] == [request.state]
