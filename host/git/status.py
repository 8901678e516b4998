"""git_status: how the working tree and the index differ from the last commit."""

from typing import Final

from host.git.operation import find_operation
from host.git.parsing.status import parse_status
from host.git.reader import Reader
from host.git.repository import Repository
from host.paths.relative import ROOT
from host.protocol.limits import MAX_STATUS_PATHS
from host.protocol.messages.git import GitStatusResponse

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
