"""Names that people and JSON can carry: printable, 1 to 100 characters."""

import os
from pathlib import Path

from host.protocol.errors import InvalidRequest
from host.protocol.limits import MAX_LABEL_CHARS


def check_label(field: str, text: str) -> str:
    """The text without the white space around it. Raises InvalidRequest if it is no label."""
    label = text.strip()
    if not label or len(label) > MAX_LABEL_CHARS or not label.isprintable():
        raise InvalidRequest.of_field(field, f"It must be 1 to {MAX_LABEL_CHARS} printable characters.")
    return label


def shown_path(path: Path) -> str:
    """The path as valid Unicode: bytes that are not UTF-8 stand as ``%XX``."""
    return "".join(_escaped_byte(char) if "\udc80" <= char <= "\udcff" else char for char in _surrogates(path))


def default_name(path: Path) -> str:
    """A project's name if nobody gives one: its directory's, what cannot be printed escaped as ``%XX``."""
    text = shown_path(Path(path.name)) if path.name else str(path)
    printable = "".join(char if char.isprintable() else _escaped(char) for char in text)
    return printable[:MAX_LABEL_CHARS].strip() or "project"


def _surrogates(path: Path) -> str:
    return os.fsencode(path).decode("utf-8", "surrogateescape")


def _escaped_byte(surrogate: str) -> str:
    return f"%{ord(surrogate) - 0xDC00:02X}"


def _escaped(char: str) -> str:
    return "".join(f"%{byte:02X}" for byte in char.encode())
