"""How Claude Code names the directory in which it keeps a project's sessions."""

import os
from typing import Final

_MAX_CHARS: Final = 200
_DIGITS: Final = "0123456789abcdefghijklmnopqrstuvwxyz"
_PLAIN: Final = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789")


def project_slug(root: str | os.PathLike[str]) -> str:
    """The name for a directory's real path. Two paths may have the same."""
    units = _utf16_units(os.fspath(root))
    slug = "".join(chr(unit) if chr(unit) in _PLAIN else "-" for unit in units)
    return slug if len(slug) <= _MAX_CHARS else f"{slug[:_MAX_CHARS]}-{_base36(abs(_hash(units)))}"


def _utf16_units(text: str) -> list[int]:
    # What is no Unicode in a path reads as the replacement character there, as it does in JavaScript.
    raw = os.fsencode(text).decode("utf-8", "replace").encode("utf-16-le")
    return [raw[at] | raw[at + 1] << 8 for at in range(0, len(raw), 2)]


def _hash(units: list[int]) -> int:
    """Java's ``String.hashCode``: 32 bits with a sign."""
    value = 0
    for unit in units:
        value = (31 * value + unit) & 0xFFFFFFFF
    return value - (1 << 32) if value >= 1 << 31 else value


def _base36(number: int) -> str:
    digits = ""
    while number:
        number, digit = divmod(number, 36)
        digits = _DIGITS[digit] + digits
    return digits or "0"
