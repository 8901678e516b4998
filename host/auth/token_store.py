"""``auth.json``: which machine this is, and who is signed in.

The tokens lie in the system's keyring, or in the file where there is none that can be used. The file
is written whenever they change, so that its stamp tells of it. The daemon writes (a token renewed) and so does
``pocketcoder login``: every change is a read, a decision and an atomic write under a lock that both take.
"""

import contextlib
import fcntl
import logging
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final
from uuid import uuid4

import msgspec
from msgspec.structs import replace

from host.auth.keyring_vault import KeyringVault, Vault, VaultMissing, VaultUnusable
from host.core.home import write_private

logger = logging.getLogger(__name__)

_MAX_FILE_BYTES: Final = 64 * 1024
# More than a file of tokens takes.
_ROOM_BYTES: Final = 16 * 1024
_OUT_OF_REACH: Final = (
    "The sign-in is in the system's keyring, which this process can't reach, as one started over SSH. "
    "Start it where you signed in, or sign in again here with: pocketcoder login"
)


class StoredTokens(msgspec.Struct, frozen=True, omit_defaults=True):
    """Tokens and whom they are for. ``expires_at`` is epoch seconds by this machine's clock.

    They belong to one relay and are never shown to another.
    """

    relay_url: str
    user_id: str
    login: str
    access_token: str
    refresh_token: str
    expires_at: float


class SignedIn(msgspec.Struct, frozen=True):
    """Who is signed in, and where."""

    user_id: str
    login: str
    relay_url: str


class _AuthFile(msgspec.Struct, frozen=True, omit_defaults=True):
    """The file. Its first five members are what other tools may read; all but the key come and go together.

    With ``in_keyring`` the tokens are not here but there.
    """

    machine_key: str | None = None
    user_id: str | None = None
    access_token: str | None = None
    refresh_token: str | None = None
    expires_at: float | None = None
    login: str | None = None
    relay_url: str | None = None
    in_keyring: bool = False


class _Undecodable(Exception):
    """The file is damaged, or none of ours."""


class TokenStore:
    """The file, its lock and the keyring.

    What touches tokens can take 2 s for each time that the keyring is asked.
    """

    def __init__(
        self,
        path: Path,
        *,
        vault: Vault | None = None,
        new_machine_key: Callable[[], str] = lambda: str(uuid4()),
    ) -> None:
        self._path = path
        self._vault = vault or KeyringVault()
        self._new_machine_key = new_machine_key
        self._known: tuple[tuple[int, int] | None, StoredTokens | None] = (None, None)
        self._warnings: list[str] = []
        self._keyring_trouble: str | None = None

    @property
    def warnings(self) -> list[str]:
        """What was wrong, and still is, for the status."""
        return [*self._warnings, *filter(None, [self._keyring_trouble])]

    def machine_key(self, *, otherwise: str | None = None) -> str:
        """This machine's key: the file's, else ``otherwise``, else a new one, which is then kept."""
        with self._locked():
            return self._with_machine_key(otherwise).machine_key or ""

    def tokens(self) -> StoredTokens | None:
        """Who is signed in; None when nobody is. Quick unless they changed. Raises VaultUnusable."""
        if self._is_known():
            return self._known[1]
        with self._locked():
            return self._look()

    def signed_in(self) -> SignedIn | None:
        """Who is signed in, without the tokens. Never waits for the keyring."""
        content = self._glance()
        is_empty = self._is_known() and self._known[1] is None
        if (
            is_empty
            or not content.user_id
            or not content.relay_url
            or not (content.in_keyring or content.refresh_token)
        ):
            return None
        return SignedIn(content.user_id, content.login or content.user_id, content.relay_url)

    def relay_url(self) -> str | None:
        """The relay that was last signed in to, also after signing out."""
        return self._glance().relay_url

    def sign_in(self, tokens: StoredTokens) -> None:
        """Replace whoever was signed in."""
        with self._locked():
            self._keep(tokens)

    def sign_out(self) -> bool:
        """Forget the tokens, keep the machine's key and the relay; return whether somebody was signed in."""
        with self._locked():
            content = self._read()
            self._empty_keyring(content)
            self._write(_AuthFile(machine_key=content.machine_key, relay_url=content.relay_url))
            return content.in_keyring or content.refresh_token is not None

    def require_room(self) -> None:
        """Raises OSError where renewed tokens could not be kept, as on a full disk. Nothing is changed."""
        probe = self._path.with_name(f".{self._path.name}.room.tmp")
        try:
            write_private(probe, bytes(_ROOM_BYTES))
        finally:
            probe.unlink(missing_ok=True)

    def renew(self, used_refresh_token: str, tokens: StoredTokens) -> bool:
        """Store renewed tokens, unless someone signed in anew meanwhile; return whether they were stored."""
        with self._locked():
            # A keyring that hangs must not lose what the relay takes no longer than a minute.
            old = self._known[1] if self._is_known() else self._look()
            if old is None or old.refresh_token != used_refresh_token:
                return False
            self._keep(tokens)
            return True

    def stamp(self) -> tuple[int, int] | None:
        """Changes whenever the file does; cheap, for looking often."""
        try:
            status = self._path.stat()
        except OSError:
            return None
        return status.st_mtime_ns, status.st_ino

    def _is_known(self) -> bool:
        return self._known[0] is not None and self._known[0] == self.stamp()

    def _look(self) -> StoredTokens | None:
        tokens = self._tokens_of(self._read())
        self._known = self.stamp(), tokens
        return tokens

    def _with_machine_key(self, otherwise: str | None = None) -> _AuthFile:
        content = self._read()
        if content.machine_key is None:
            content = replace(content, machine_key=otherwise or self._new_machine_key())
            self._write(content)
        return content

    def _tokens_of(self, content: _AuthFile) -> StoredTokens | None:
        if not content.in_keyring:
            return _tokens_in(content)
        try:
            secret = self._vault.load(content.machine_key or "")
        except VaultMissing as exc:
            raise VaultUnusable(_OUT_OF_REACH) from exc
        try:
            return None if secret is None else msgspec.json.decode(secret, type=StoredTokens)
        except msgspec.DecodeError:
            self._warn("What the system's keyring holds of PocketCoder can't be read. Sign in with: pocketcoder login")
            return None

    def _keep(self, tokens: StoredTokens) -> None:
        """In the keyring first: once the file says that they are there, they are."""
        content = self._with_machine_key()
        who = _AuthFile(machine_key=content.machine_key, **msgspec.structs.asdict(tokens))
        try:
            self._vault.save(content.machine_key or "", msgspec.json.encode(tokens).decode())
        except VaultUnusable as exc:
            if not isinstance(exc, VaultMissing):
                self._keyring_trouble = f"{exc} The sign-in is kept in {self._path} meanwhile, which only you may read."
                logger.warning("%s", self._keyring_trouble)
            self._write(who)
        else:
            self._keyring_trouble = None
            self._write(replace(who, access_token=None, refresh_token=None, in_keyring=True))

    def _empty_keyring(self, content: _AuthFile) -> None:
        """Also where the tokens are in the file: a keyring that failed once may hold older ones."""
        try:
            self._vault.delete(content.machine_key or "")
        except VaultUnusable as exc:
            if content.in_keyring:
                self._warn(f"{exc} The old sign-in is still in it.")

    def _warn(self, warning: str) -> None:
        logger.warning("%s", warning)
        if warning not in self._warnings:
            self._warnings.append(warning)

    def _read(self) -> _AuthFile:
        """With the lock: what is no file of ours is set aside."""
        try:
            return self._decoded()
        except _Undecodable:
            self._set_aside()
            return _AuthFile()

    def _glance(self) -> _AuthFile:
        """Without the lock, under which somebody may be asking the keyring. The file is whole at any time."""
        try:
            return self._decoded()
        except _Undecodable:
            return _AuthFile()

    def _decoded(self) -> _AuthFile:
        """Raises _Undecodable."""
        try:
            with self._path.open("rb") as file:
                return msgspec.json.decode(file.read(_MAX_FILE_BYTES), type=_AuthFile)
        except FileNotFoundError:
            return _AuthFile()
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as exc:
            raise _Undecodable from exc

    def _set_aside(self) -> None:
        aside = self._path.with_name(f"{self._path.name}.corrupt-{os.urandom(4).hex()}")
        self._path.rename(aside)
        self._warn(
            f"{self._path.name} could not be read and was set aside as {aside.name}. "
            "Sign in again with: pocketcoder login"
        )

    def _write(self, content: _AuthFile) -> None:
        write_private(self._path, msgspec.json.format(msgspec.json.encode(content)) + b"\n")

    @contextlib.contextmanager
    def _locked(self) -> Iterator[None]:
        descriptor = os.open(self._path.with_name("auth.lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            # Held for the moments of one read and write.
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield
        finally:
            os.close(descriptor)


def _tokens_in(content: _AuthFile) -> StoredTokens | None:
    if not content.access_token or not content.refresh_token or not content.user_id or not content.relay_url:
        return None
    return StoredTokens(
        relay_url=content.relay_url,
        user_id=content.user_id,
        login=content.login or content.user_id,
        access_token=content.access_token,
        refresh_token=content.refresh_token,
        expires_at=content.expires_at or 0,
    )
