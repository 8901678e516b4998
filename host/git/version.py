"""Which git is needed. Pure."""

import re
from typing import Final

from host.protocol.errors import Unsupported

# The first that takes configuration from its environment, without which nothing here is safe.
_NEEDED: Final = (2, 31)
# The first that can be told to leave bare repositories alone that came with a clone.
_SAFE: Final = (2, 38)
_VERSION: Final = re.compile(rb"git version (\d+)\.(\d+)\S*")
_ADVICE: Final = f"Install git {_SAFE[0]}.{_SAFE[1]} or newer on the machine, then restart the daemon."


def refuse_too_old(said: bytes) -> None:
    """Raises Unsupported if ``git version`` says that it is."""
    if _is_below(said, _NEEDED):
        raise Unsupported(f"{_name(said)} is too old to be used. {_ADVICE}")


def version_warning(said: bytes) -> str | None:
    """A sentence for people, if ``git version`` says that it is too old to be safe, or to be used."""
    if not _is_below(said, _SAFE):
        return None
    return (
        f"{_name(said)} is too old to be safe in repositories that you do not trust: what a clone holds could run "
        f"programs. {_ADVICE}"
    )


def _is_below(said: bytes, least: tuple[int, int]) -> bool:
    found = _VERSION.match(said)
    return found is not None and (int(found[1]), int(found[2])) < least


def _name(said: bytes) -> str:
    found = _VERSION.match(said)
    return found[0].decode(errors="replace") if found else "git"
