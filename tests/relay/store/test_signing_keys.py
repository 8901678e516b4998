from pathlib import Path

from relay_stub.store.database import Database
from relay_stub.store.signing_keys import MAX_ACCESS_LIFETIME_S, SigningKeys


def test_the_signing_key_is_made_once_and_kept_over_a_restart(tmp_path: Path) -> None:
    database = Database.open(tmp_path)
    keys = SigningKeys(database).load(at_s=1.0)
    assert [len(key.secret) for key in keys] == [32]
    database.close()
    database = Database.open(tmp_path)
    assert SigningKeys(database).load(at_s=2.0) == keys
    database.close()


def test_a_rotated_key_comes_after_the_one_that_signs_now(database: Database) -> None:
    keys = SigningKeys(database)
    (first,) = keys.load(at_s=1.0)
    keys.rotate(at_s=2.0)
    keys.rotate(at_s=3.0)
    newest, *retired = keys.load(at_s=4.0)
    assert newest.retired_at_s is None
    assert {key.retired_at_s for key in retired} == {2.0, 3.0}
    assert first.secret in {key.secret for key in retired}
    assert len({key.kid for key in (newest, *retired)}) == 3


def test_a_retired_key_is_deleted_when_no_token_of_it_can_live(database: Database) -> None:
    keys = SigningKeys(database)
    keys.load(at_s=1.0)
    keys.rotate(at_s=2.0)
    assert len(keys.load(at_s=2.0 + MAX_ACCESS_LIFETIME_S)) == 2
    assert len(keys.load(at_s=3.0 + 2 * MAX_ACCESS_LIFETIME_S)) == 1
