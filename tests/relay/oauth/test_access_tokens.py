import base64
import json
from dataclasses import replace
from typing import Any

import jwt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from host.protocol.errors import Unauthorized
from relay_stub.oauth.access_tokens import AccessClaims, AccessTokens
from relay_stub.store.accounts import Session, User
from relay_stub.store.signing_keys import SigningKey

NOW_S = 1_800_000_000
LIFETIME_S = 900
HOST = "pocketcoder-host"
KEY = SigningKey("kid-1", b"k" * 32)
OLD_KEY = SigningKey("kid-0", b"o" * 32)
USER = User("usr_1", "alice", None, None)
SESSION = Session("ses_1", "usr_1", HOST, b"", b"", None, 0.0, None)
CLAIMS: dict[str, Any] = {
    "sub": "usr_1",
    "aud": HOST,
    "exp": NOW_S + LIFETIME_S,
    "iat": NOW_S,
    "jti": "id",
    "sid": "ses_1",
    "login": "alice",
}


def access(now_s: float = NOW_S, *keys: SigningKey) -> AccessTokens:
    return AccessTokens(keys or (KEY,), lifetime_s=LIFETIME_S, clock=lambda: now_s, new_id=lambda: "id")


def forged(claims: dict[str, Any], *, secret: bytes = KEY.secret, algorithm: str = "HS256", kid: str = KEY.kid) -> str:
    return jwt.encode(claims, secret, algorithm=algorithm, headers={"kid": kid})


def part(data: object) -> str:
    return base64.urlsafe_b64encode(json.dumps(data).encode()).rstrip(b"=").decode()


def refuses(token: str, *, now_s: float = NOW_S, audience: str = HOST) -> None:
    with pytest.raises(Unauthorized) as refusal:
        access(now_s).verify(token, audience=audience)
    assert str(refusal.value) == str(Unauthorized())


def test_a_signed_token_vouches_for_user_session_and_client() -> None:
    token, expires_at_s = access().sign(SESSION, USER)
    assert expires_at_s == NOW_S + LIFETIME_S
    assert access().verify(token, audience=HOST) == AccessClaims(
        "usr_1", "alice", "ses_1", HOST, float(NOW_S + LIFETIME_S)
    )


def test_a_token_carries_the_contracts_claims_and_its_keys_id() -> None:
    token, _ = access().sign(SESSION, USER)
    assert jwt.decode(token, options={"verify_signature": False}) == CLAIMS
    assert jwt.get_unverified_header(token) == {"alg": "HS256", "typ": "JWT", "kid": "kid-1"}


def test_a_token_of_an_older_key_is_still_good() -> None:
    token, _ = access(NOW_S, OLD_KEY).sign(SESSION, USER)
    assert access(NOW_S, KEY, OLD_KEY).verify(token, audience=HOST).user_id == "usr_1"
    refuses(token)


def test_a_retired_key_is_good_for_nothing_when_its_last_token_has_expired() -> None:
    retired = replace(OLD_KEY, retired_at_s=float(NOW_S))
    last, _ = access(NOW_S, OLD_KEY).sign(SESSION, USER)
    assert access(NOW_S + LIFETIME_S - 1, KEY, retired).verify(last, audience=HOST).user_id == "usr_1"
    # Whoever has stolen the key can write any time into a token.
    later_s = NOW_S + LIFETIME_S + 60
    forever = forged({**CLAIMS, "exp": NOW_S + 10**6}, secret=OLD_KEY.secret, kid=OLD_KEY.kid)
    with pytest.raises(Unauthorized):
        access(later_s, KEY, retired).verify(forever, audience=HOST)
    assert access(later_s - 1, KEY, retired).verify(forever, audience=HOST).user_id == "usr_1"


def test_a_token_is_good_until_the_second_it_expires() -> None:
    token = forged(CLAIMS)
    assert access(NOW_S + LIFETIME_S - 0.001).verify(token, audience=HOST).user_id == "usr_1"
    refuses(token, now_s=NOW_S + LIFETIME_S)


def test_a_token_from_the_future_is_refused() -> None:
    refuses(forged(CLAIMS), now_s=NOW_S - 1)


def test_a_token_for_another_client_is_refused() -> None:
    refuses(forged(CLAIMS), audience="pocketcoder-web")
    refuses(forged({**CLAIMS, "aud": "pocketcoder-web"}))


@pytest.mark.parametrize("claim", sorted(CLAIMS))
def test_a_token_without_one_of_its_claims_is_refused(claim: str) -> None:
    refuses(forged({name: value for name, value in CLAIMS.items() if name != claim}))


def test_a_token_signed_with_another_key_is_refused() -> None:
    refuses(forged(CLAIMS, secret=b"x" * 32))
    refuses(forged(CLAIMS, kid="kid-2"))


def test_a_token_without_a_key_id_is_refused() -> None:
    refuses(jwt.encode(CLAIMS, KEY.secret, algorithm="HS256"))


@pytest.mark.parametrize("algorithm", ["none", "None", "nOnE"])
def test_an_unsigned_token_is_refused(algorithm: str) -> None:
    refuses(f"{part({'alg': algorithm, 'typ': 'JWT', 'kid': KEY.kid})}.{part(CLAIMS)}.")


def test_another_algorithm_with_the_right_key_is_refused() -> None:
    refuses(forged(CLAIMS, secret=KEY.secret, algorithm="HS256").replace("eyJhbGciOiJIUzI1NiI", "eyJhbGciOiJIUzUxMiI"))
    long_key = SigningKey(KEY.kid, b"k" * 64)
    token = forged(CLAIMS, secret=long_key.secret, algorithm="HS512")
    with pytest.raises(Unauthorized):
        access(NOW_S, long_key).verify(token, audience=HOST)


def test_changed_claims_are_refused() -> None:
    header, _, signature = forged(CLAIMS).split(".")
    refuses(f"{header}.{part({**CLAIMS, 'sub': 'usr_2'})}.{signature}")


@pytest.mark.parametrize(
    "header",
    [
        [],
        1,
        {"alg": "HS256", "kid": ["kid-1"]},
        {"alg": ["HS256"], "kid": "kid-1"},
        {"alg": "HS256", "kid": "kid-1", "b64": False, "crit": ["b64"]},
        {"alg": "HS256", "kid": "kid-1", "crit": "x"},
    ],
)
def test_odd_headers_are_refused(header: object) -> None:
    refuses(f"{part(header)}.{part(CLAIMS)}.{part('x')}")


def test_a_header_nested_past_all_reason_is_refused() -> None:
    nested = base64.urlsafe_b64encode(b'{"a":' + b"[" * 100_000).decode()
    refuses(f"{nested}.{part(CLAIMS)}.AAAA")


@pytest.mark.parametrize("garbage", ["", ".", "..", "...", "a.b.c", "\x00", "é.é.é", "=.=.=", "x" * 100_000])
def test_garbage_is_refused(garbage: str) -> None:
    refuses(garbage)


@given(st.text(max_size=40) | st.binary(max_size=40).map(lambda raw: base64.urlsafe_b64encode(raw).decode() + "..a"))
def test_no_text_at_all_gets_past_or_breaks_it(text: str) -> None:
    refuses(text)
