import os
import random
import signal
import stat
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from pathlib import Path
from threading import Barrier

import msgspec
import pytest
from msgspec.structs import replace

from host.auth.token_store import StoredTokens, TokenStore

CHECKOUT = Path(__file__).parents[2]
TOKENS = StoredTokens(
    relay_url="wss://relay.example",
    user_id="user-1",
    login="alice",
    access_token="access-1",
    refresh_token="refresh-1",
    expires_at=1_770_890_400.5,
)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "auth.json"


def test_nobody_is_signed_in_at_first(path: Path) -> None:
    store = TokenStore(path)

    assert store.tokens() is None
    assert store.relay_url() is None
    assert store.stamp() is None
    assert store.warnings == []


def test_who_signed_in_is_read_back_by_another_process_too(path: Path) -> None:
    TokenStore(path).sign_in(TOKENS)

    assert TokenStore(path).tokens() == TOKENS
    assert TokenStore(path).relay_url() == "wss://relay.example"


def test_the_file_has_the_contracts_members(path: Path) -> None:
    store = TokenStore(path, new_machine_key=lambda: "key-1")
    store.machine_key()
    store.sign_in(TOKENS)
    content = msgspec.json.decode(path.read_bytes())

    assert {
        name: content[name] for name in ("machine_key", "user_id", "access_token", "refresh_token", "expires_at")
    } == {
        "machine_key": "key-1",
        "user_id": "user-1",
        "access_token": "access-1",
        "refresh_token": "refresh-1",
        "expires_at": 1_770_890_400.5,
    }


def test_the_files_are_private_whatever_the_umask(tmp_path: Path) -> None:
    store = TokenStore(tmp_path / "auth.json")
    before = os.umask(0)
    try:
        store.machine_key()
        store.sign_in(TOKENS)
        store.renew("refresh-1", replace(TOKENS, access_token="access-2"))
    finally:
        os.umask(before)

    modes = {entry.name: stat.S_IMODE(entry.stat().st_mode) for entry in tmp_path.iterdir()}
    assert modes == {"auth.json": 0o600, "auth.lock": 0o600}


def test_a_machine_key_is_made_once_and_survives_every_sign_in(path: Path) -> None:
    key = TokenStore(path).machine_key()
    TokenStore(path).sign_in(TOKENS)
    TokenStore(path).sign_in(replace(TOKENS, user_id="user-2"))

    assert TokenStore(path).machine_key() == key
    assert TokenStore(path).machine_key(otherwise="another") == key


def test_a_machine_key_known_elsewhere_is_taken_over(path: Path) -> None:
    assert TokenStore(path).machine_key(otherwise="known") == "known"
    assert TokenStore(path).machine_key() == "known"


def test_renewed_tokens_never_overwrite_a_newer_sign_in(path: Path) -> None:
    store = TokenStore(path)
    store.sign_in(TOKENS)
    newer = replace(TOKENS, access_token="access-new", refresh_token="refresh-new", login="bob")
    TokenStore(path).sign_in(newer)

    assert store.renew("refresh-1", replace(TOKENS, access_token="access-2", refresh_token="refresh-2")) is False
    assert store.tokens() == newer
    assert store.renew("refresh-new", replace(newer, refresh_token="refresh-3")) is True


def test_renewed_tokens_are_not_stored_once_somebody_signed_out(path: Path) -> None:
    store = TokenStore(path)
    store.sign_in(TOKENS)
    path.unlink()

    assert store.renew("refresh-1", TOKENS) is False
    assert store.tokens() is None


def test_the_stamp_changes_with_every_change_and_only_then(path: Path) -> None:
    store = TokenStore(path)
    stamps = [store.stamp()]
    store.machine_key()
    stamps.append(store.stamp())
    for _ in range(10):
        store.sign_in(TOKENS)
        stamps.append(store.stamp())
    store.tokens()

    assert store.stamp() == stamps[-1]
    assert all(earlier != later for earlier, later in pairwise(stamps))


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\0" * 100,
        b"{",
        b"\xff\xfe",
        b"[]",
        b'"text"',
        b'{"machine_key":5}',
        b'{"access_token":["x"],"machine_key":"k"}',
        b'{"expires_at":"tomorrow"}',
        b"[" * 50_000,
        b'{"machine_key":"k","padding":"' + b"x" * 70_000 + b'"}',
    ],
    ids=["empty", "zeros", "cut", "not UTF-8", "list", "text", "key", "token", "time", "deep", "oversized"],
)
def test_what_is_no_file_of_ours_is_set_aside_with_a_warning(path: Path, content: bytes) -> None:
    path.write_bytes(content)
    store = TokenStore(path)

    assert store.tokens() is None
    (aside,) = path.parent.glob("auth.json.corrupt-*")
    assert aside.read_bytes() == content
    (warning,) = store.warnings
    assert aside.name in warning
    assert "pocketcoder login" in warning

    store.sign_in(TOKENS)
    assert TokenStore(path).tokens() == TOKENS


@pytest.mark.parametrize("missing", ["access_token", "refresh_token", "user_id", "relay_url"])
def test_half_a_sign_in_is_none(path: Path, missing: str) -> None:
    TokenStore(path).sign_in(TOKENS)
    content = msgspec.json.decode(path.read_bytes())
    del content[missing]
    path.write_bytes(msgspec.json.encode(content))

    assert TokenStore(path).tokens() is None


def test_what_other_tools_wrote_beside_is_no_trouble(path: Path) -> None:
    TokenStore(path).sign_in(TOKENS)
    content = msgspec.json.decode(path.read_bytes())
    path.write_bytes(msgspec.json.encode({**content, "note": [1, 2], "login": None}))

    assert TokenStore(path).tokens() == replace(TOKENS, login="user-1")


def test_however_many_ask_at_once_a_machine_has_one_key(tmp_path: Path) -> None:
    for number in range(5):
        path = tmp_path / str(number) / "auth.json"
        path.parent.mkdir()
        together = Barrier(8)

        def ask(path: Path = path, together: Barrier = together) -> str:
            together.wait()
            return TokenStore(path).machine_key()

        with ThreadPoolExecutor(8) as pool:
            keys = {asked.result() for asked in [pool.submit(ask) for _ in range(8)]}
        assert keys == {TokenStore(path).machine_key()}


# Each signs in again and again, as somebody of its own.
WRITER = """
import sys
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from pathlib import Path
from threading import Barrier
from host.auth.token_store import StoredTokens, TokenStore
store, me, count = TokenStore(Path(sys.argv[1])), sys.argv[2], int(sys.argv[3])
print(store.machine_key(), flush=True)
for number in range(count):
    text = f"{me}-{number}-" + me * 2000
    store.sign_in(StoredTokens("wss://relay.example", me, me, text, text, number))
    tokens = store.tokens()
    assert tokens is not None and tokens.access_token == tokens.refresh_token, tokens
    store.renew(text, StoredTokens("wss://relay.example", me, me, text + "r", text + "r", number))
"""


def start_writer(path: Path, name: str, count: int) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", WRITER, str(path), name, str(count)], cwd=CHECKOUT, stdout=subprocess.PIPE, text=True
    )


def check_whole(path: Path) -> None:
    """The file is one writer's, whole, and nothing was set aside."""
    store = TokenStore(path)
    tokens = store.tokens()
    assert tokens is not None
    assert tokens.access_token == tokens.refresh_token
    assert tokens.access_token.startswith(tokens.user_id)
    assert store.warnings == []
    assert {entry.name for entry in path.parent.iterdir() if not entry.name.endswith(".tmp")} == {
        "auth.json",
        "auth.lock",
    }


def test_two_processes_that_write_at_once_agree_on_the_key_and_never_mix_their_tokens(path: Path) -> None:
    writers = [start_writer(path, name, 40) for name in "ab"]
    keys = [writer.communicate(timeout=30)[0] for writer in writers]

    assert [writer.returncode for writer in writers] == [0, 0]
    assert keys[0] == keys[1]
    check_whole(path)


@pytest.mark.slow
def test_kill_9_while_writing_leaves_the_old_content_or_the_new(path: Path) -> None:
    TokenStore(path).sign_in(replace(TOKENS, user_id="a", access_token="a", refresh_token="a"))
    key = TokenStore(path).machine_key()
    for _ in range(25):
        writer = start_writer(path, "a", 1_000_000)
        assert writer.stdout is not None
        writer.stdout.readline()
        with pytest.raises(subprocess.TimeoutExpired):
            writer.wait(random.uniform(0.001, 0.05))
        writer.kill()
        writer.communicate()
        assert writer.returncode == -signal.SIGKILL

        check_whole(path)
        assert TokenStore(path).machine_key() == key
