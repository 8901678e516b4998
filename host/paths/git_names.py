"""Which names mean a repository's own directory. Pure."""

import re
import unicodedata
from collections.abc import Iterable
from typing import Final

from host.protocol.errors import InvalidRequest

# Code points that HFS+, APFS or a case-folding ext4 leave out when they compare names, besides category Cf.
_IGNORABLE: Final = re.compile(
    "[\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u3164\ufe00-\ufe0f\uffa0\U000e0000-\U000e0fff]"
)
# NTFS's short name for it; it also opens a name with a stream, or with dots and spaces after it.
_GIT_NAMES: Final = frozenset({".git", "git~1"})


def is_git_name(name: bytes) -> bool:
    """Whether any file system might take ``name`` for ``.git``. Errs towards yes."""
    text = _IGNORABLE.sub("", name.decode(errors="replace"))
    text = "".join(char for char in text if unicodedata.category(char) != "Cf")
    return text.partition(":")[0].rstrip(" .").casefold() in _GIT_NAMES


def is_under_git(parts: Iterable[bytes]) -> bool:
    """Whether a path is ``.git`` or lies in one, at any depth."""
    return any(is_git_name(part) for part in parts)


def refuse_under_git(parts: Iterable[bytes], field: str = "path") -> None:
    """Raises InvalidRequest, naming ``field``, for a path that nothing may write."""
    if is_under_git(parts):
        raise InvalidRequest.of_field(field, "It lies in .git, which can be read but not written. Use git for that.")
