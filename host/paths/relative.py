"""What a path on the wire means, before any file system is asked. Pure."""

import re
from dataclasses import dataclass
from typing import Final

from host.protocol.errors import InvalidRequest, OutsideProjectRoot
from host.protocol.limits import MAX_PATH_BYTES

_NOT_TEXT: Final = re.compile("[%\udc80-\udcff]")
_ESCAPE: Final = re.compile(rb"%([0-9A-F]{2})")


@dataclass(frozen=True, slots=True)
class RelativePath:
    """A path below a project's root: as the wire spells it, and its names' bytes; the root has none.

    A name that is not UTF-8 is shown ``%XX``-escaped in listings, and found again by what
    was shown: a component means the file of that very name, and only where there is none,
    the one that a listing shows so (``unescaped_name``).
    """

    text: str
    parts: tuple[bytes, ...]

    def child(self, name: bytes) -> "RelativePath":
        """The path of an entry of this directory."""
        return RelativePath(join(self.text, shown_name(name)), (*self.parts, name))


ROOT: Final = RelativePath("", ())


def parse_path(text: str, *, field: str = "path") -> RelativePath:
    """Parse a path of the wire: relative, ``/``-separated, the root is ``""``.

    Raises OutsideProjectRoot for an absolute path or any ``..``; InvalidRequest, naming
    ``field``, for ``.`` or empty components, NUL, lone surrogates, or over MAX_PATH_BYTES.
    """
    if not text:
        return ROOT
    components = text.split("/")
    if text.startswith("/") or ".." in components:
        raise leaves_root(text)
    if "" in components or "." in components:
        raise InvalidRequest.of_field(
            field, "It has an empty or '.' component. Send it without '//', './' or a final '/'."
        )
    if "\0" in text:
        raise InvalidRequest.of_field(field, "It holds a NUL character, which no file name can.")
    return RelativePath(text, tuple(_encoded(text, field).split(b"/")))


def leaves_root(text: str) -> OutsideProjectRoot:
    """The one answer to every way out, so that it tells nothing about what is outside."""
    # A lone surrogate could not be sent back.
    path = text.encode(errors="replace").decode()[:MAX_PATH_BYTES]
    return OutsideProjectRoot(
        "The path leads out of the project. Only files inside the project can be reached.", path=path
    )


def join(directory: str, name: str) -> str:
    return f"{directory}/{name}" if directory else name


def shown_name(name: bytes) -> str:
    """How a name is shown: as it is where it is UTF-8, else ``%XX`` for each byte that is not, and for ``%``."""
    return shown(name.decode(errors="surrogateescape"))


def shown(name: str) -> str:
    """The same for a name as ``os`` functions give it, undecodable bytes as lone surrogates."""
    if is_text(name):
        return name
    return _NOT_TEXT.sub(lambda found: f"%{ord(found[0]) & 0xFF:02X}", name)


def is_text(name: str) -> bool:
    """Whether a name of the ``os`` functions is valid UTF-8 on the disk."""
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True


def unescaped_name(component: bytes) -> bytes | None:
    """The name that a listing shows as ``component`` because it is not UTF-8; None if there can be none."""
    if b"%" not in component:
        return None
    name = _ESCAPE.sub(lambda found: bytes((int(found[1], 16),)), component)
    if is_text(name.decode(errors="surrogateescape")) or b"/" in name or b"\0" in name:
        return None
    return name if shown_name(name).encode() == component else None


def _encoded(text: str, field: str) -> bytes:
    try:
        raw = text.encode()
    except UnicodeEncodeError as exc:
        raise InvalidRequest.of_field(field, "It holds a lone surrogate, which is not Unicode text.") from exc
    if len(raw) > MAX_PATH_BYTES:
        raise InvalidRequest.of_field(field, f"It is longer than {MAX_PATH_BYTES} bytes.")
    return raw
