"""git_status: how the working tree and the index differ from the last commit, and what git is in the middle of."""

import os
from contextlib import suppress
from pathlib import Path
from typing import Final

from host.git.parsing.status import parse_status
from host.git.reader import Reader
from host.git.repository import Repository
from host.paths.relative import ROOT
from host.protocol.limits import MAX_STATUS_PATHS
from host.protocol.messages.git import GitStatusResponse, Operation

_STATUS: Final = (
    "status",
    "--porcelain=v2",
    "--branch",
    "--ahead-behind",
    "-z",
    "--untracked-files=all",
    # Other commits of submodules are told, but git is not run in them.
    "--ignore-submodules=dirty",
)
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


def read_status(git: Reader, repository: Repository) -> GitStatusResponse:
    """Raises GitFailed."""
    answer = repository.run(git, *_STATUS, "--", *repository.pathspecs(git, ROOT))
    status = parse_status(answer.output(), prefix=repository.prefix, max_paths=MAX_STATUS_PATHS, is_cut=answer.is_cut)
    return GitStatusResponse(
        branch=status.branch,
        oid=status.oid,
        upstream=status.upstream,
        ahead=status.ahead,
        behind=status.behind,
        detached=status.branch is None,
        operation=find_operation(repository.git_dir),
        staged=status.staged,
        unstaged=status.unstaged,
        untracked=status.untracked,
        conflicted=status.conflicted,
        truncated=status.truncated,
    )


def find_operation(git_dir: Path) -> Operation | None:
    """By the files that git leaves in its directory. A bisection is told only where nothing else goes on."""
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
