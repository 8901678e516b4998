"""What a peer may call a commit. Pure."""

import re
from typing import Final

from host.protocol.errors import InvalidRequest

# Control characters, blanks, and what would make it a path, a range, a pattern or several commits; a leading "-"
# would be an option, a leading "^" would leave commits out.
_NEVER: Final = re.compile(r"^[-^]|[\x00-\x20\x7f:?*\[\\]|\.\.|\^[@!-]|[\ud800-\udfff]")
_REASON: Final = "It names no commit of this repository. Send a branch, a tag, or a commit's id."


HEAD: Final = "HEAD^{commit}"


def commit_of(ref: str, *, field: str) -> str:
    """``ref`` as a revision that is one commit or nothing. Raises InvalidRequest for what no ref looks like."""
    if not ref or _NEVER.search(ref):
        raise invalid_ref(field)
    return f"{ref}^{{commit}}"


def invalid_ref(field: str) -> InvalidRequest:
    return InvalidRequest.of_field(field, _REASON)
