"""Where tokens are kept: the system's keyring, or the file where there is none that can be used."""

import asyncio
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import keyring
import pytest
from keyring.backend import KeyringBackend
from keyring.backends.chainer import ChainerBackend
from keyring.backends.fail import Keyring as NoKeyring
from keyring.backends.null import Keyring as NullKeyring
from msgspec.structs import replace

from host.auth.keyring_vault import KeyringVault, VaultMissing, VaultUnusable
from host.auth.session import ResponseT, Session, stored
from host.auth.token_store import TokenStore
from host.protocol.messages.base import Request
from tests.support.host import tokens_for
from tests.support.keyrings import (
    BrokenKeyring,
    FileKeyring,
    ForgetfulKeyring,
    HangingKeyring,
    backend_variables,
)

RELAY = "wss://relay.example"
TOKENS = stored(tokens_for(access="access-secret", refresh="refresh-secret"), RELAY, now_s=1_770_890_400.0)
ROOT = Path(__file__).resolve().parents[2]


@dataclass
class Rig:
    path: Path
    monkeypatch: pytest.MonkeyPatch

    def store(self, backend: type[KeyringBackend]) -> TokenStore:
        """A store of another process, as it were."""
        self.monkeypatch.setattr(keyring, "get_keyring", backend)
        return TokenStore(self.path, vault=KeyringVault(timeout_s=0.2 if backend is HangingKeyring else 1.0))


@pytest.fixture
def rig(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Rig]:
    for name, value in backend_variables(FileKeyring, tmp_path / "keyring.json").items():
        monkeypatch.setenv(name, value)
    HangingKeyring.released.clear()
    HangingKeyring.was_asked.clear()
    yield Rig(tmp_path / "auth.json", monkeypatch)
    HangingKeyring.released.set()


def test_tokens_in_the_keyring_are_nowhere_in_the_file(rig: Rig) -> None:
    rig.store(FileKeyring).sign_in(TOKENS)

    assert "secret" not in rig.path.read_text()
    again = rig.store(FileKeyring)
    assert again.tokens() == TOKENS
    assert again.warnings == []


def test_who_is_signed_in_is_known_without_the_keyring(rig: Rig) -> None:
    rig.store(FileKeyring).sign_in(TOKENS)
    signed_in = rig.store(HangingKeyring).signed_in()

    assert signed_in is not None
    assert (signed_in.login, signed_in.relay_url) == (TOKENS.login, RELAY)


@pytest.mark.parametrize("backend", [NoKeyring, NullKeyring], ids=["none", "null"])
def test_a_system_without_a_keyring_keeps_the_tokens_in_the_private_file_without_a_word(
    rig: Rig, backend: type[KeyringBackend]
) -> None:
    store = rig.store(backend)
    store.sign_in(TOKENS)

    assert rig.store(backend).tokens() == TOKENS
    assert rig.path.stat().st_mode & 0o777 == 0o600
    assert store.warnings == []


@pytest.mark.parametrize("backend", [HangingKeyring, BrokenKeyring, ForgetfulKeyring])
def test_a_keyring_that_fails_is_told_of_and_the_file_takes_the_tokens(rig: Rig, backend: type[KeyringBackend]) -> None:
    store = rig.store(backend)
    store.sign_in(TOKENS)
    store.sign_in(TOKENS)

    assert rig.store(backend).tokens() == TOKENS
    (warning,) = store.warnings
    assert "keyring" in warning
    assert str(rig.path) in warning
    assert "s3cret" not in warning


def test_a_keyring_that_hangs_is_not_asked_a_second_time_meanwhile(rig: Rig) -> None:
    rig.monkeypatch.setattr(keyring, "get_keyring", HangingKeyring)
    vault = KeyringVault(timeout_s=0.1)
    before = threading.active_count()
    for _ in range(3):
        with pytest.raises(VaultUnusable, match="does not answer"):
            vault.load("machine")
    assert threading.active_count() == before + 1


def test_plain_files_that_call_themselves_keyrings_are_none(monkeypatch: pytest.MonkeyPatch) -> None:
    plain = type("PlaintextKeyring", (FileKeyring,), {"__module__": "keyrings.alt.file"})
    monkeypatch.setattr(keyring, "get_keyring", plain)
    with pytest.raises(VaultMissing):
        KeyringVault().load("machine")


def test_plain_files_are_no_keyrings_in_a_chain_of_several_either(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    plain = type("PlaintextKeyring", (FileKeyring,), {"__module__": "keyrings.alt.file"})
    real = type("RealKeyring", (FileKeyring,), {})
    for backends, is_one in (([plain(), plain()], False), ([plain(), real()], True)):
        monkeypatch.setattr(keyring, "get_keyring", type("Chain", (ChainerBackend,), {"backends": backends}))
        vault = KeyringVault()
        if is_one:
            vault.save("machine", "secret")
            assert vault.load("machine") == "secret"
        else:
            with pytest.raises(VaultMissing):
                vault.save("machine", "secret")


def test_tokens_that_lay_in_the_file_move_to_the_keyring_when_they_are_renewed(rig: Rig) -> None:
    rig.store(NoKeyring).sign_in(TOKENS)
    renewed = replace(TOKENS, refresh_token="refresh-2-secret")
    assert rig.store(FileKeyring).renew(TOKENS.refresh_token, renewed)

    assert "secret" not in rig.path.read_text()
    assert rig.store(FileKeyring).tokens() == renewed


def test_tokens_in_a_keyring_that_hangs_are_out_of_reach_and_not_gone(rig: Rig) -> None:
    rig.store(FileKeyring).sign_in(TOKENS)
    with pytest.raises(VaultUnusable, match="Unlock it"):
        rig.store(HangingKeyring).tokens()

    assert rig.store(FileKeyring).tokens() == TOKENS


def test_tokens_in_a_keyring_that_this_process_does_not_have_are_told_with_what_to_do(rig: Rig) -> None:
    rig.store(FileKeyring).sign_in(TOKENS)
    store = rig.store(NoKeyring)
    with pytest.raises(VaultUnusable, match="sign in again here with: pocketcoder login"):
        store.tokens()
    store.sign_in(TOKENS)

    assert store.tokens() == TOKENS


def test_signing_out_empties_the_keyring_and_keeps_the_machines_key(rig: Rig, tmp_path: Path) -> None:
    store = rig.store(FileKeyring)
    key = store.machine_key()
    store.sign_in(TOKENS)

    assert store.sign_out()
    assert store.signed_in() is None
    assert store.tokens() is None
    assert "secret" not in (tmp_path / "keyring.json").read_text()
    assert rig.store(FileKeyring).machine_key() == key


def test_signing_out_also_forgets_older_tokens_in_a_keyring_that_failed_for_a_while(rig: Rig, tmp_path: Path) -> None:
    rig.store(FileKeyring).sign_in(TOKENS)
    rig.store(BrokenKeyring).sign_in(replace(TOKENS, refresh_token="refresh-2-secret"))
    store = rig.store(FileKeyring)

    assert store.sign_out()
    assert "secret" not in (tmp_path / "keyring.json").read_text()
    assert "secret" not in rig.path.read_text()
    assert store.warnings == []


def test_a_keyring_that_works_again_is_complained_of_no_longer(rig: Rig) -> None:
    store = rig.store(BrokenKeyring)
    store.sign_in(TOKENS)
    assert len(store.warnings) == 1
    rig.monkeypatch.setattr(keyring, "get_keyring", FileKeyring)
    store.sign_in(TOKENS)

    assert store.warnings == []


def test_tokens_that_somebody_took_out_of_the_keyring_are_nobody_signed_in(rig: Rig, tmp_path: Path) -> None:
    rig.store(FileKeyring).sign_in(TOKENS)
    (tmp_path / "keyring.json").unlink()
    store = rig.store(FileKeyring)

    assert store.tokens() is None
    assert store.signed_in() is None


def test_who_is_signed_in_is_told_while_another_waits_for_the_keyring(rig: Rig) -> None:
    rig.store(FileKeyring).sign_in(TOKENS)
    waiting, store = TokenStore(rig.path, vault=KeyringVault(timeout_s=30)), TokenStore(rig.path)
    rig.monkeypatch.setattr(keyring, "get_keyring", HangingKeyring)
    asking = threading.Thread(target=waiting.tokens)
    asking.start()
    try:
        assert HangingKeyring.was_asked.wait(10)
        assert store.relay_url() == RELAY
        assert store.signed_in() is not None
        assert asking.is_alive()
    finally:
        HangingKeyring.released.set()
        asking.join(10)


class Relay:
    """Renews, once the test lets it."""

    def __init__(self) -> None:
        self.was_asked = asyncio.Event()
        self.go_on = asyncio.Event()

    async def call(self, request: Request, response: type[ResponseT]) -> ResponseT:
        self.was_asked.set()
        await self.go_on.wait()
        answer = tokens_for(access="access-2", refresh="refresh-2")
        assert isinstance(answer, response)
        return answer


@pytest.mark.slow
async def test_a_keyring_that_hangs_during_a_renewal_does_not_lose_the_new_tokens(rig: Rig) -> None:
    store = rig.store(FileKeyring)
    store.sign_in(TOKENS)
    session = Session(store)
    await session.load()
    relay = Relay()
    session.distrust()
    renewing = asyncio.create_task(session.access_token(relay))
    await relay.was_asked.wait()
    rig.monkeypatch.setattr(keyring, "get_keyring", HangingKeyring)
    relay.go_on.set()

    assert await renewing == "access-2"
    kept = rig.store(NoKeyring).tokens()
    assert kept is not None
    assert kept.refresh_token == "refresh-2"


_REAL = """
import sys
from pathlib import Path
import keyring
from host.auth.session import stored
from host.auth.token_store import TokenStore
from tests.support.host import tokens_for

backend = type(keyring.get_keyring()).__module__
assert "SecretService" in backend or "chainer" in backend, backend
path = Path(sys.argv[1])
tokens = stored(tokens_for(access="access-secret", refresh="refresh-secret"), "wss://relay.example", now_s=1.0)
store = TokenStore(path)
store.sign_in(tokens)
assert store.warnings == [], store.warnings
assert "secret" not in path.read_text()
assert TokenStore(path).tokens() == tokens
assert TokenStore(path).sign_out()
assert TokenStore(path).tokens() is None
"""
_TOOLS = ("dbus-run-session", "gnome-keyring-daemon")


@pytest.mark.slow
@pytest.mark.skipif(
    any(shutil.which(tool) is None for tool in _TOOLS),
    reason=f"No Secret Service to be had: {' or '.join(_TOOLS)} is missing",
)
def test_a_real_secret_service_keeps_the_tokens(tmp_path: Path) -> None:
    script = 'echo -n password | gnome-keyring-daemon --unlock --components=secrets >/dev/null && exec "$@"'
    done = subprocess.run(
        ["dbus-run-session", "--", "sh", "-c", script, "sh", sys.executable, "-c", _REAL, str(tmp_path / "auth.json")],
        cwd=ROOT,
        env={"HOME": str(tmp_path), "XDG_RUNTIME_DIR": str(tmp_path), "PATH": "/usr/local/bin:/usr/bin:/bin"},
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert done.returncode == 0, done.stderr
