import base64
import hashlib
from collections.abc import Callable

import pytest

from host.protocol.errors import Unauthorized
from host.protocol.messages.auth import AuthExchange
from relay_stub.oauth.codes import AuthorizationCodes, CodeReplayed
from relay_stub.oauth.grant import Grant
from tests.relay.oauth.conftest import FakeClock

VERIFIER = "v" * 43
CHALLENGE = base64.urlsafe_b64encode(hashlib.sha256(VERIFIER.encode()).digest()).rstrip(b"=").decode()
REDIRECT_URI = "http://127.0.0.1:4000/callback"
GRANT = Grant("usr_1", "pocketcoder-host")


def issue(codes: AuthorizationCodes) -> str:
    return codes.issue(GRANT, redirect_uri=REDIRECT_URI, challenge=CHALLENGE)


def exchange_of(code: str, *, verifier: str = VERIFIER, redirect_uri: str = REDIRECT_URI) -> AuthExchange:
    return AuthExchange(code=code, code_verifier=verifier, redirect_uri=redirect_uri)


def test_a_code_is_good_for_what_was_granted(codes: AuthorizationCodes) -> None:
    assert codes.redeem(exchange_of(issue(codes)), session_id="ses_1") == GRANT


def test_the_example_of_rfc_7636_is_accepted(codes: AuthorizationCodes) -> None:
    challenge = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM"
    code = codes.issue(GRANT, redirect_uri=REDIRECT_URI, challenge=challenge)
    request = exchange_of(code, verifier="dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk")
    assert codes.redeem(request, session_id="ses_1") == GRANT


@pytest.mark.parametrize(
    "wrong",
    [
        lambda code: exchange_of(code + "x"),
        lambda code: exchange_of(code, verifier="w" * 43),
        lambda code: exchange_of(code, verifier=CHALLENGE),
        lambda code: exchange_of(code, verifier="é"),
        lambda code: exchange_of(code, redirect_uri="http://127.0.0.1:4001/callback"),
    ],
)
def test_anything_wrong_reads_alike(codes: AuthorizationCodes, wrong: Callable[[str], AuthExchange]) -> None:
    code = issue(codes)
    with pytest.raises(Unauthorized) as refusal:
        codes.redeem(wrong(code), session_id="ses_1")
    assert str(refusal.value) == str(Unauthorized())


def test_a_code_lives_60_seconds(codes: AuthorizationCodes, clock: FakeClock) -> None:
    in_time, too_late = issue(codes), issue(codes)
    clock.advance(59.9)
    assert codes.redeem(exchange_of(in_time), session_id="ses_1") == GRANT
    clock.advance(0.1)
    with pytest.raises(Unauthorized):
        codes.redeem(exchange_of(too_late), session_id="ses_1")


def test_a_second_use_names_the_session_of_the_first(codes: AuthorizationCodes) -> None:
    code = issue(codes)
    codes.redeem(exchange_of(code), session_id="ses_1")
    with pytest.raises(CodeReplayed) as replay:
        codes.redeem(exchange_of(code, verifier="w" * 43), session_id="ses_2")
    assert replay.value.session_id == "ses_1"


def test_a_failed_attempt_uses_the_code_up(codes: AuthorizationCodes) -> None:
    code = issue(codes)
    with pytest.raises(Unauthorized):
        codes.redeem(exchange_of(code, verifier="w" * 43), session_id="ses_1")
    with pytest.raises(Unauthorized):
        codes.redeem(exchange_of(code), session_id="ses_2")


def test_past_the_bound_the_oldest_code_goes() -> None:
    codes = AuthorizationCodes(max_codes=2)
    oldest, *others = [issue(codes) for _ in range(3)]
    with pytest.raises(Unauthorized):
        codes.redeem(exchange_of(oldest), session_id="ses_1")
    assert [codes.redeem(exchange_of(code), session_id="ses_1") for code in others] == [GRANT, GRANT]
