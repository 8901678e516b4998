import hashlib
from dataclasses import replace

import pytest

from relay_stub.oauth.identity.port import Identity
from relay_stub.store.accounts import Accounts, Session

ALICE = Identity("dev", "alice", "alice")


def session_of(user_id: str, name: str = "one", *, last_used_at_s: float = 1000.0) -> Session:
    family_hash = hashlib.sha256(name.encode()).digest()
    return Session(name, user_id, "pocketcoder-host", family_hash, b"current", None, last_used_at_s, None)


def test_a_person_who_comes_again_is_the_same_user_with_the_new_profile(accounts: Accounts) -> None:
    first = accounts.sign_in(ALICE)
    again = accounts.sign_in(replace(ALICE, login="alicia", name="Alicia", avatar_url="https://example.org/a.png"))
    assert first.id.startswith("usr_")
    assert again.id == first.id
    assert accounts.user(first.id) == again
    assert (again.login, again.name, again.avatar_url) == ("alicia", "Alicia", "https://example.org/a.png")


def test_the_same_subject_of_another_provider_is_another_user(accounts: Accounts) -> None:
    assert accounts.sign_in(ALICE).id != accounts.sign_in(replace(ALICE, provider="github")).id


def test_a_user_nobody_knows_is_none(accounts: Accounts) -> None:
    assert accounts.user("usr_nobody") is None


def test_a_session_is_found_by_its_family_and_can_be_rotated(accounts: Accounts, user_id: str) -> None:
    session = session_of(user_id)
    accounts.start_session(session, address="192.0.2.1")
    assert accounts.session_of_family(session.family_hash) == session
    accounts.rotate("one", current_hash=b"next", previous_hash=b"current", at_s=2000.0)
    assert accounts.session_of_family(session.family_hash) == replace(
        session, current_hash=b"next", previous_hash=b"current", last_used_at_s=2000.0
    )
    assert accounts.session_of_family(b"other") is None


def test_somebody_is_signed_in_from_where_a_live_session_was_last_used(accounts: Accounts, user_id: str) -> None:
    accounts.start_session(session_of(user_id), address="2001:db8:1:2::3")
    accounts.start_session(session_of(user_id, "two"), address="unknown")
    assert accounts.is_signed_in_from("2001:db8:1:2::4")
    assert not any(map(accounts.is_signed_in_from, ("2001:db8:1:3::3", "192.0.2.1", "unknown")))
    accounts.describe_session("one", label=None, address="192.0.2.1")
    assert accounts.is_signed_in_from("192.0.2.1")
    accounts.revoke_session("one", at_s=1.0)
    assert not accounts.is_signed_in_from("192.0.2.1")


def test_a_session_is_revoked_once(accounts: Accounts, user_id: str) -> None:
    accounts.start_session(session_of(user_id), address="192.0.2.1")
    assert accounts.is_session_valid("one")
    assert accounts.revoke_session("one", at_s=2000.0) == user_id
    assert accounts.revoke_session("one", at_s=3000.0) is None
    assert accounts.revoke_session("other", at_s=3000.0) is None
    assert not accounts.is_session_valid("one")


@pytest.mark.parametrize(("unused_since_s", "left"), [(999.0, True), (1000.0, False)])
def test_sessions_out_of_use_are_forgotten(accounts: Accounts, user_id: str, unused_since_s: float, left: bool) -> None:
    accounts.start_session(session_of(user_id), address="192.0.2.1")
    accounts.forget_sessions(unused_since_s=unused_since_s)
    assert accounts.is_session_valid("one") is left
