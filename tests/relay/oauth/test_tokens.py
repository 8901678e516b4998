import base64
import hashlib
from pathlib import Path

import pytest
from msgspec import UNSET

from host.core.clock import rfc3339
from host.protocol.errors import Unauthorized
from host.protocol.messages.auth import AuthExchange, TokenRefresh, TokenRevoke, Tokens, UserProfile
from relay_stub.oauth.codes import AuthorizationCodes
from relay_stub.oauth.grant import Grant
from relay_stub.oauth.identity.port import Identity
from relay_stub.oauth.tokens import SESSION_LIFETIME_S, AccessClaims, TokenService
from relay_stub.store.accounts import Accounts
from relay_stub.store.database import Database
from tests.relay.oauth.conftest import FakeClock, Revocations, token_service

HOST = "pocketcoder-host"
VERIFIER = "v" * 43
CHALLENGE = base64.urlsafe_b64encode(hashlib.sha256(VERIFIER.encode()).digest()).rstrip(b"=").decode()
REDIRECT_URI = "http://127.0.0.1:4000/callback"
DAY_S = 24 * 3600.0


@pytest.fixture
def first(tokens: TokenService, user_id: str) -> Tokens:
    return tokens.issue(Grant(user_id, "pocketcoder-host"))


def refresh(tokens: TokenService, previous: Tokens) -> Tokens:
    return tokens.refresh(TokenRefresh(refresh_token=previous.refresh_token))


def sign_out(tokens: TokenService, issued: Tokens) -> None:
    tokens.sign_out(TokenRevoke(refresh_token=issued.refresh_token))


def refuses(tokens: TokenService, previous: Tokens) -> None:
    with pytest.raises(Unauthorized):
        refresh(tokens, previous)


def claims_of(tokens: TokenService, issued: Tokens) -> AccessClaims:
    return tokens.verify(issued.access_token, audience=HOST)


def is_good(tokens: TokenService, issued: Tokens) -> bool:
    return claims_of(tokens, issued).login == "alice"


def is_ended(tokens: TokenService, *issued: Tokens) -> bool:
    """Whether neither the access tokens nor the refresh tokens of a session are good any more."""
    for each in issued:
        with pytest.raises(Unauthorized):
            claims_of(tokens, each)
        refuses(tokens, each)
    return True


# Beginning


def exchange_of(codes: AuthorizationCodes, user_id: str) -> AuthExchange:
    code = codes.issue(Grant(user_id, "pocketcoder-host"), redirect_uri=REDIRECT_URI, challenge=CHALLENGE)
    return AuthExchange(code=code, code_verifier=VERIFIER, redirect_uri=REDIRECT_URI)


def test_a_code_is_exchanged_for_tokens(
    tokens: TokenService, codes: AuthorizationCodes, user_id: str, clock: FakeClock
) -> None:
    issued = tokens.exchange(exchange_of(codes, user_id))
    assert issued.expires_in_s == 900
    assert issued.expires_at == rfc3339(clock.now_s + 900)
    assert issued.user == UserProfile(user_id, "alice", name="Alice", avatar_url=UNSET)
    claims = claims_of(tokens, issued)
    assert (claims.user_id, claims.login, claims.client_id) == (user_id, "alice", HOST)
    assert claims.expires_at_s == clock.now_s + 900


def test_a_code_that_comes_twice_ends_the_session_of_its_first_use(
    tokens: TokenService, codes: AuthorizationCodes, user_id: str, revocations: Revocations
) -> None:
    request = exchange_of(codes, user_id)
    issued = tokens.exchange(request)
    session_id = claims_of(tokens, issued).session_id
    with pytest.raises(Unauthorized) as refusal:
        tokens.exchange(request)
    assert type(refusal.value) is Unauthorized
    assert revocations.told == [(user_id, session_id)]
    assert is_ended(tokens, issued)


def test_a_wrong_code_begins_nothing(tokens: TokenService, codes: AuthorizationCodes, user_id: str) -> None:
    request = exchange_of(codes, user_id)
    with pytest.raises(Unauthorized):
        tokens.exchange(request.model_copy(update={"code_verifier": "w" * 43}))


def test_the_access_tokens_life_can_be_set(
    database: Database, codes: AuthorizationCodes, user_id: str, clock: FakeClock
) -> None:
    tokens = token_service(database, codes, Revocations(), clock, access_lifetime_s=5)
    assert tokens.issue(Grant(user_id, "pocketcoder-host")).expires_in_s == 5


# Verifying


def test_an_access_token_expires(tokens: TokenService, first: Tokens, clock: FakeClock) -> None:
    clock.advance(899)
    assert is_good(tokens, first)
    clock.advance(1)
    with pytest.raises(Unauthorized):
        claims_of(tokens, first)


def test_an_access_token_of_a_revoked_session_is_refused_at_once(
    tokens: TokenService, first: Tokens, revocations: Revocations, user_id: str
) -> None:
    session_id = claims_of(tokens, first).session_id
    sign_out(tokens, first)
    sign_out(tokens, first)
    assert revocations.told == [(user_id, session_id)]
    assert is_ended(tokens, first)


def test_a_token_for_one_client_is_not_for_the_other(tokens: TokenService, first: Tokens) -> None:
    with pytest.raises(Unauthorized):
        tokens.verify(first.access_token, audience="pocketcoder-web")


# Refreshing


def test_refreshing_rotates_and_keeps_the_session(tokens: TokenService, first: Tokens, clock: FakeClock) -> None:
    session_id = claims_of(tokens, first).session_id
    issued = first
    for _ in range(5):
        clock.advance(800)
        before, issued = issued, refresh(tokens, issued)
        assert issued.refresh_token != before.refresh_token
        assert issued.user == first.user
        assert claims_of(tokens, issued).session_id == session_id


def test_a_lost_answer_can_be_asked_for_again_within_60_seconds(
    tokens: TokenService, first: Tokens, clock: FakeClock, revocations: Revocations
) -> None:
    lost = refresh(tokens, first)
    clock.advance(60)
    received = refresh(tokens, first)
    assert received.refresh_token != lost.refresh_token
    clock.advance(800)
    assert is_good(tokens, refresh(tokens, received))
    assert revocations.told == []


def test_the_third_use_of_a_token_ends_the_session(
    tokens: TokenService, first: Tokens, revocations: Revocations, user_id: str
) -> None:
    session_id = claims_of(tokens, first).session_id
    second, third = refresh(tokens, first), refresh(tokens, first)
    refuses(tokens, first)
    assert revocations.told == [(user_id, session_id)]
    assert is_ended(tokens, first, second, third)
    assert len(revocations.told) == 1


def test_reuse_after_60_seconds_ends_the_session(
    tokens: TokenService, first: Tokens, clock: FakeClock, revocations: Revocations
) -> None:
    second = refresh(tokens, first)
    clock.advance(60.001)
    refuses(tokens, first)
    assert len(revocations.told) == 1
    assert is_ended(tokens, second)


def test_reuse_of_the_answer_that_was_given_up_as_lost_ends_the_session(tokens: TokenService, first: Tokens) -> None:
    lost, received = refresh(tokens, first), refresh(tokens, first)
    refuses(tokens, lost)
    assert is_ended(tokens, received)


def test_reuse_after_the_successor_was_used_ends_the_session(tokens: TokenService, first: Tokens) -> None:
    second = refresh(tokens, first)
    third = refresh(tokens, second)
    refuses(tokens, first)
    assert is_ended(tokens, second, third)


def test_a_token_replaced_long_ago_is_still_known_as_stolen(
    tokens: TokenService, first: Tokens, clock: FakeClock, revocations: Revocations
) -> None:
    issued = first
    for _ in range(100):
        clock.advance(DAY_S)
        issued = refresh(tokens, issued)
    refuses(tokens, first)
    assert len(revocations.told) == 1
    assert is_ended(tokens, issued)


def test_each_token_of_a_chain_has_its_own_second_chance(tokens: TokenService, first: Tokens) -> None:
    issued = first
    for _ in range(5):
        refresh(tokens, issued)
        issued = refresh(tokens, issued)
    assert is_good(tokens, issued)


def test_one_revoked_session_leaves_the_users_others_alone(tokens: TokenService, first: Tokens, user_id: str) -> None:
    other = tokens.issue(Grant(user_id, "pocketcoder-host"))
    sign_out(tokens, first)
    assert is_good(tokens, refresh(tokens, other))


@pytest.mark.parametrize("garbage", ["x", ".", "a.b", "é", "\x00"])
def test_a_refresh_token_that_never_was_revokes_nothing(
    tokens: TokenService, first: Tokens, revocations: Revocations, garbage: str
) -> None:
    with pytest.raises(Unauthorized):
        tokens.refresh(TokenRefresh(refresh_token=garbage))
    with pytest.raises(Unauthorized):
        tokens.refresh(TokenRefresh(refresh_token=first.access_token))
    assert revocations.told == []
    assert is_good(tokens, first)


def test_a_session_lives_90_days_from_its_last_refresh(tokens: TokenService, first: Tokens, clock: FakeClock) -> None:
    clock.advance(89 * DAY_S)
    second = refresh(tokens, first)
    clock.advance(90 * DAY_S - 1)
    third = refresh(tokens, second)
    clock.advance(90 * DAY_S)
    refuses(tokens, third)


def test_expired_sessions_are_forgotten_when_another_begins(
    tokens: TokenService, first: Tokens, clock: FakeClock, database: Database, user_id: str
) -> None:
    session_id = claims_of(tokens, first).session_id
    clock.advance(SESSION_LIFETIME_S)
    tokens.issue(Grant(user_id, "pocketcoder-host"))
    left = [row[0] for row in database.execute("SELECT id FROM sessions")]
    assert len(left) == 1
    assert session_id not in left


# At rest


def test_sessions_outlive_a_restart_and_expired_ones_are_forgotten(tmp_path: Path, clock: FakeClock) -> None:
    def start() -> tuple[Database, Accounts, TokenService]:
        database = Database.open(tmp_path / "data")
        service = token_service(database, AuthorizationCodes(clock=clock), Revocations(), clock)
        return database, Accounts(database), service

    database, accounts, tokens = start()
    grant = Grant(accounts.sign_in(Identity("dev", "alice", "alice")).id, "pocketcoder-host")
    issued = tokens.issue(grant)
    database.close()

    database, accounts, tokens = start()
    assert claims_of(tokens, issued).user_id == grant.user_id
    assert is_good(tokens, refresh(tokens, issued))
    database.close()

    clock.advance(SESSION_LIFETIME_S)
    database, accounts, tokens = start()
    assert database.execute("SELECT count(*) FROM sessions").fetchone() == (0,)
    database.close()


def test_no_token_is_stored(tokens: TokenService, first: Tokens, tmp_path: Path) -> None:
    second = refresh(tokens, first)
    stored = b"".join(path.read_bytes() for path in (tmp_path / "relay").iterdir())
    assert b"ses_" in stored
    for secret in (*first.refresh_token.split("."), *second.refresh_token.split("."), second.access_token):
        assert secret.encode() not in stored
