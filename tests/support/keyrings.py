"""Keyrings as backends of the keyring library: one that works, and some that don't.

Processes of their own get one by ``PYTHON_KEYRING_BACKEND``, see ``backend_variables``.
"""

import json
import os
import threading
from pathlib import Path
from typing import Final

from keyring.backend import KeyringBackend

_FILE: Final = "POCKETCODER_TESTS_KEYRING"


def backend_variables(backend: "type[KeyringBackend]", file: Path | None = None) -> dict[str, str]:
    return {
        "PYTHON_KEYRING_BACKEND": f"{backend.__module__}.{backend.__name__}",
        "PYTHONPATH": str(Path(__file__).resolve().parents[2]),
        _FILE: str(file or ""),
    }


class FileKeyring(KeyringBackend):
    """Keeps everything in one file, named by the environment, so that processes share it."""

    priority = 1

    def get_password(self, service: str, username: str) -> str | None:
        secret: str | None = self._secrets().get(f"{service}/{username}")
        return secret

    def set_password(self, service: str, username: str, password: str) -> None:
        self._store({**self._secrets(), f"{service}/{username}": password})

    def delete_password(self, service: str, username: str) -> None:
        self._store({name: secret for name, secret in self._secrets().items() if name != f"{service}/{username}"})

    def _secrets(self) -> dict[str, str]:
        path = Path(os.environ[_FILE])
        secrets: dict[str, str] = json.loads(path.read_text()) if path.exists() else {}
        return secrets

    def _store(self, secrets: dict[str, str]) -> None:
        path = Path(os.environ[_FILE])
        temporary = path.with_suffix(f".{os.getpid()}")
        temporary.write_text(json.dumps(secrets))
        temporary.replace(path)


class HangingKeyring(KeyringBackend):
    """Asks in a window that nobody sees, until ``released``."""

    priority = 1
    was_asked: Final = threading.Event()
    released: Final = threading.Event()

    def get_password(self, service: str, username: str) -> str | None:
        self.was_asked.set()
        self.released.wait()
        return None

    def set_password(self, service: str, username: str, password: str) -> None:
        self.released.wait()


class BrokenKeyring(KeyringBackend):
    priority = 1

    def get_password(self, service: str, username: str) -> str | None:
        raise RuntimeError("s3cret detail of a backend")

    def set_password(self, service: str, username: str, password: str) -> None:
        raise RuntimeError("s3cret detail of a backend")


class ForgetfulKeyring(KeyringBackend):
    """Says yes, and keeps nothing."""

    priority = 1

    def get_password(self, service: str, username: str) -> str | None:
        return None

    def set_password(self, service: str, username: str, password: str) -> None:
        pass
