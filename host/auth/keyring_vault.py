"""The system's keyring: where the sign-in is kept if there is one that can be used."""

import logging
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Final, Protocol, TypeVar

if TYPE_CHECKING:
    from keyring.backend import KeyringBackend

logger = logging.getLogger(__name__)

KEYRING_TIMEOUT_S: Final = 2.0
_SERVICE: Final = "pocketcoder"
# Backends that keep secrets in plain sight, or not at all.
_NO_KEYRINGS: Final = ("keyring.backends.fail", "keyring.backends.null", "keyrings.alt")
_SILENT: Final = "The system's keyring does not answer. Unlock it, or answer what it asks."

T = TypeVar("T")


class VaultUnusable(Exception):
    """What is kept there can't be reached now. The message is a sentence for people."""


class VaultMissing(VaultUnusable):
    """This system has no such place."""


class Vault(Protocol):
    """Keeps one secret text a name. Every method raises VaultUnusable."""

    def load(self, name: str) -> str | None: ...

    def save(self, name: str, secret: str) -> None: ...

    def delete(self, name: str) -> None: ...


class KeyringVault:
    """Answers within 2 s, whatever the system's keyring does. For threads, not for an event loop."""

    def __init__(self, *, timeout_s: float = KEYRING_TIMEOUT_S) -> None:
        self._timeout_s = timeout_s
        self._asking: threading.Thread | None = None

    def load(self, name: str) -> str | None:
        return self._ask(lambda keyring: keyring.get_password(_SERVICE, name))

    def save(self, name: str, secret: str) -> None:
        """Kept and read again: a keyring that took it without keeping it is unusable."""
        self._ask(lambda keyring: keyring.set_password(_SERVICE, name, secret))
        if self.load(name) != secret:
            raise VaultUnusable("The system's keyring does not keep what it is given.")

    def delete(self, name: str) -> None:
        self._ask(lambda keyring: _delete(keyring, name))

    def _ask(self, question: "Callable[[KeyringBackend], T]") -> T:
        # One that hangs, such as on a window that asks for a password, can't be ended: no second one is begun.
        if self._asking is not None and self._asking.is_alive():
            raise VaultUnusable(_SILENT)
        answers: list[T] = []
        failures: list[Exception] = []

        def ask() -> None:
            try:
                answers.append(question(_keyring()))
            except Exception as exc:  # noqa: BLE001 - backends raise whatever their libraries do
                failures.append(exc)

        self._asking = threading.Thread(target=ask, name="keyring", daemon=True)
        self._asking.start()
        self._asking.join(self._timeout_s)
        if failures:
            raise _unusable(failures[0]) from failures[0]
        if not answers:
            raise VaultUnusable(_SILENT)
        return answers[0]


def _keyring() -> "KeyringBackend":
    import keyring  # noqa: PLC0415 - dear, and needed only when tokens are read or stored

    chosen = keyring.get_keyring()
    # Where there are several they come as a chain, the best first.
    chain: list[KeyringBackend] = getattr(chosen, "backends", [chosen])
    for backend in chain:
        if not type(backend).__module__.startswith(_NO_KEYRINGS):
            return backend
    raise VaultMissing("This system has no keyring.")


def _delete(keyring: "KeyringBackend", name: str) -> None:
    if keyring.get_password(_SERVICE, name) is not None:
        keyring.delete_password(_SERVICE, name)


def _unusable(failure: Exception) -> VaultUnusable:
    if isinstance(failure, VaultUnusable):
        return failure
    logger.info("The system's keyring failed: %s", type(failure).__name__)
    return VaultUnusable("The system's keyring can't be used: it is locked, or it failed.")
