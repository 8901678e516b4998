"""How git writes a name that would not fit on a line (``core.quotePath``). Pure."""

import re
from typing import Final

_ODD: Final = re.compile(rb'[\x00-\x1f"\\\x7f-\xff]')
_LETTERS: Final = {
    7: b"\\a",
    8: b"\\b",
    9: b"\\t",
    10: b"\\n",
    11: b"\\v",
    12: b"\\f",
    13: b"\\r",
    34: b'\\"',
    92: b"\\\\",
}


def quoted(name: bytes) -> bytes:
    """The name as it is, or in quotes with each odd byte escaped."""
    if not _ODD.search(name):
        return name
    return b'"' + _ODD.sub(lambda found: _escaped(found[0][0]), name) + b'"'


def _escaped(byte: int) -> bytes:
    return _LETTERS.get(byte) or b"\\%03o" % byte
