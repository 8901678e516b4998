"""git_branches: what branches there are, here and as remotes were last seen."""

from typing import Final

from host.git.parsing.branches import FORMAT, LOCAL, REMOTE, branch_name, parse_branches
from host.git.reader import Reader
from host.git.repository import Repository
from host.protocol.messages.git import GitBranchesResponse

_LIST: Final = ("for-each-ref", f"--format={FORMAT}", LOCAL, REMOTE)


def read_branches(git: Reader, repository: Repository) -> GitBranchesResponse:
    """Raises GitFailed."""
    current, branches = parse_branches(repository.run(git, *_LIST).output())
    return GitBranchesResponse(current=current or _unborn(git, repository), branches=branches)


def _unborn(git: Reader, repository: Repository) -> str | None:
    """The branch that HEAD names though it has no commit yet; None where HEAD is detached."""
    answer = repository.run(git, "symbolic-ref", "--quiet", "HEAD")
    return branch_name(answer.stdout.rstrip(b"\n")) if answer.is_success else None
