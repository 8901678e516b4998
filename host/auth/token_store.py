"""``auth.json``: which machine this is, and the tokens of who is signed in.

Written by the daemon (a token renewed) and by ``pocketcoder login`` (a new sign-in), so every
change is a read, a decision and an atomic write under a lock that both take.
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

from host.core.home import write_private

logger = logging.getLogger(__name__)

_MAX_FILE_BYTES: Final = 64 * 1024


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


class _AuthFile(msgspec.Struct, frozen=True, omit_defaults=True):
    """The file. Its first five members are what other tools may read; all but the key come and go together."""

    machine_key: str | None = None
    user_id: str | None = None
    access_token: str | None = None
    refresh_token: str | None = None
    expires_at: float | None = None
    login: str | None = None
    relay_url: str | None = None


class TokenStore:
    """The file and its lock. ``warnings`` says what was wrong with it, for the status and the log."""

    def __init__(self, path: Path, *, new_machine_key: Callable[[], str] = lambda: str(uuid4())) -> None:
        self._path = path
        self._new_machine_key = new_machine_key
        self.warnings: list[str] = []

    def machine_key(self, *, otherwise: str | None = None) -> str:
        """This machine's key: the file's, else ``otherwise``, else a new one, which is then kept."""
        with self._locked():
            content = self._read()
            if content.machine_key is None:
                content = replace(content, machine_key=otherwise or self._new_machine_key())
                self._write(content)
            return content.machine_key or ""

    def tokens(self) -> StoredTokens | None:
        """Who is signed in; None when nobody is."""
        with self._locked():
            return _tokens_of(self._read())

    def relay_url(self) -> str | None:
        """The relay that was last signed in to, also after signing out."""
        with self._locked():
            return self._read().relay_url

    def sign_in(self, tokens: StoredTokens) -> None:
        """Replace whoever was signed in."""
        with self._locked():
            self._write(_with_tokens(self._read(), tokens))

    def sign_out(self) -> bool:
        """Forget the tokens, keep the machine's key and the relay; return whether somebody was signed in."""
        with self._locked():
            content = self._read()
            self._write(_AuthFile(machine_key=content.machine_key, relay_url=content.relay_url))
            return content.refresh_token is not None

    def renew(self, used_refresh_token: str, tokens: StoredTokens) -> bool:
        """Store renewed tokens, unless someone signed in anew meanwhile; return whether they were stored."""
        with self._locked():
            content = self._read()
            if content.refresh_token != used_refresh_token:
                return False
            self._write(_with_tokens(content, tokens))
            return True

    def stamp(self) -> tuple[int, int] | None:
        """Changes whenever the file does; cheap, for looking often."""
        try:
            status = self._path.stat()
        except OSError:
            return None
        return status.st_mtime_ns, status.st_ino

    def _read(self) -> _AuthFile:
        try:
            with self._path.open("rb") as file:
                return msgspec.json.decode(file.read(_MAX_FILE_BYTES), type=_AuthFile)
        except FileNotFoundError:
            return _AuthFile()
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            self._set_aside()
            return _AuthFile()

    def _set_aside(self) -> None:
        aside = self._path.with_name(f"{self._path.name}.corrupt-{os.urandom(4).hex()}")
        self._path.rename(aside)
        warning = (
            f"{self._path.name} could not be read and was set aside as {aside.name}. "
            "Sign in again with: pocketcoder login"
        )
        self.warnings.append(warning)
        logger.warning("%s", warning)

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


def _tokens_of(content: _AuthFile) -> StoredTokens | None:
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


def _with_tokens(content: _AuthFile, tokens: StoredTokens) -> _AuthFile:
    return replace(content, **msgspec.structs.asdict(tokens))
