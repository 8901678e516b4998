"""git_diff: what changed, line by line."""

from contextlib import nullcontext
from dataclasses import dataclass
from typing import Final

from host.git.finished import Finished
from host.git.index_copy import copied_index
from host.git.parsing.diff import parse_diff
from host.git.reader import Reader
from host.git.refs import commit_of, invalid_ref
from host.git.repository import Repository
from host.git.untracked import AddedFiles
from host.paths.door import Door
from host.paths.relative import RelativePath
from host.protocol.errors import InvalidRequest, ProtocolError
from host.protocol.limits import MAX_DIFF_BYTES, MAX_DIFF_FILES
from host.protocol.messages.git import GitDiff, GitDiffResponse

_DIFF: Final = (
    "diff",
    "--raw",
    "-z",
    "--patch",
    "--no-ext-diff",
    "--no-textconv",
    "--no-color",
    "--no-relative",
    "--src-prefix=a/",
    "--dst-prefix=b/",
    "--ignore-submodules=dirty",
)
# Of a conflict, what the working tree makes of our side.
_OURS: Final = "-2"


@dataclass(frozen=True, slots=True)
class Compared:
    """What is compared with what. ``revisions`` by the members of the request that named them.

    ``with_files``: the working tree's are looked at; ``with_untracked``: those, too, that git does not know.
    """

    options: tuple[str, ...]
    revisions: dict[str, str]
    with_files: bool
    with_untracked: bool


def compared(request: GitDiff) -> Compared:
    """Raises InvalidRequest for members that don't go together, or refs that can't be any."""
    if request.to_ref is not None and request.from_ref is None:
        raise InvalidRequest.of_field("to", "It says where a diff ends that begins at from. Send both, or from alone.")
    if request.to_ref is not None and request.staged:
        raise InvalidRequest.of_field("to", "With staged it is the index that is compared. Send one of the two.")
    named = {"from": request.from_ref, "to": request.to_ref}
    revisions = {field: commit_of(ref, field=field) for field, ref in named.items() if ref is not None}
    options = (f"--unified={request.context}", *(("--cached",) if request.staged else ()))
    if not (revisions or request.staged):
        options += (_OURS,)
    with_files = request.to_ref is None and not request.staged
    return Compared(options, revisions, with_files, with_untracked=with_files and request.path is not None)


def read_diff(
    git: Reader, repository: Repository, door: Door, path: RelativePath, compared: Compared
) -> GitDiffResponse:
    """What changed at ``path`` and below. Raises InvalidRequest for a ref that is none."""
    where = repository.pathspecs(git, path)
    words = (*_DIFF, *compared.options, "--end-of-options", *compared.revisions.values(), "--", *where)
    with copied_index(repository.git_dir) if compared.with_files else nullcontext() as index:
        answer = repository.run(git, *words, max_bytes=MAX_DIFF_BYTES, index=index)
    if not (answer.is_success or answer.is_cut):
        raise _refusal(git, repository, compared, answer)
    files, truncated = parse_diff(
        answer.output(), prefix=repository.prefix, max_files=MAX_DIFF_FILES, is_cut=answer.is_cut
    )
    if compared.with_untracked:
        added = AddedFiles(MAX_DIFF_FILES - len(files), MAX_DIFF_BYTES - len(answer.stdout), truncated)
        listing = repository.run(git, "ls-files", "-z", "--others", "--exclude-standard", "--", *where).output()
        files += added.read(door, listing.split(b"\0")[:-1])
        truncated = added.truncated
    return GitDiffResponse(files=files, truncated=truncated)


def _refusal(git: Reader, repository: Repository, compared: Compared, answer: Finished) -> ProtocolError:
    for field, revision in compared.revisions.items():
        if not repository.has(git, revision):
            return invalid_ref(field)
    return answer.failure()
