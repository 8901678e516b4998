"""git_log: commits, newest first."""

from typing import Final

from host.git.parsing.log import FORMAT, parse_log
from host.git.reader import Reader
from host.git.refs import HEAD, invalid_ref
from host.git.repository import Repository
from host.paths.relative import RelativePath
from host.protocol.limits import MAX_LOG_BYTES
from host.protocol.messages.git import GitLogResponse

_LOG: Final = ("log", "-z", f"--format={FORMAT}", "--encoding=UTF-8", "--no-color")


def read_log(
    git: Reader, repository: Repository, commit: str, path: RelativePath, *, limit: int, skip: int
) -> GitLogResponse:
    """At most ``limit`` commits that changed ``path``, from ``commit`` (see ``commit_of``) on, after ``skip`` of them.

    Fewer where their messages are too long for one answer. Raises InvalidRequest for a commit that is none.
    """
    pages = (f"--max-count={limit + 1}", f"--skip={skip}")
    where = repository.pathspecs(git, path)
    answer = repository.run(git, *_LOG, *pages, "--end-of-options", commit, "--", *where, max_bytes=MAX_LOG_BYTES)
    if not (answer.is_success or answer.is_cut):
        if repository.has(git, commit):
            raise answer.failure()
        if commit != HEAD:
            raise invalid_ref("ref")
        return GitLogResponse(commits=[], more=False)
    commits = parse_log(answer.stdout)
    return GitLogResponse(commits=commits[:limit], more=answer.is_cut or len(commits) > limit)
