"""What git is in the middle of, by the files that it leaves in its directory."""

import os
from contextlib import suppress
from pathlib import Path
from typing import Final

from host.protocol.messages.git import Operation

# In this order: a rebase that stops at a conflict leaves a CHERRY_PICK_HEAD, too.
_MARKS: Final[tuple[tuple[str, Operation], ...]] = (
    ("rebase-merge", "rebase"),
    ("rebase-apply/rebasing", "rebase"),
    ("MERGE_HEAD", "merge"),
    ("CHERRY_PICK_HEAD", "cherry-pick"),
    ("REVERT_HEAD", "revert"),
)
_TODO: Final = "sequencer/todo"
_TODO_BYTES: Final = 16


def find_operation(git_dir: Path) -> Operation | None:
    """Touches the file system. A bisection is told only where nothing else goes on."""
    for name, operation in _MARKS:
        if os.path.lexists(git_dir / name):
            return operation
    return _sequence(git_dir) or ("bisect" if os.path.lexists(git_dir / "BISECT_LOG") else None)


def _sequence(git_dir: Path) -> Operation | None:
    """A row of picks or reverts, between two of them."""
    with suppress(OSError), open(git_dir / _TODO, "rb") as file:
        word = file.read(_TODO_BYTES).split(b" ")[0]
        return {b"pick": "cherry-pick", b"p": "cherry-pick", b"revert": "revert"}.get(word)  # type: ignore[return-value]
    return None
