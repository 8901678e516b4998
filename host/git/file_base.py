"""git_file_base: a file as it is in a commit."""

from host.git.cat_file import GitObject, ObjectReader
from host.git.paths import unescaped_path
from host.git.reader import Reader
from host.git.refs import HEAD, invalid_ref
from host.git.repository import Repository
from host.paths.relative import RelativePath
from host.protocol.content import encode_content
from host.protocol.messages.git import GitFileBaseResponse

_BLOB = "blob"


def read_file_base(
    git: Reader, repository: Repository, objects: ObjectReader, path: RelativePath, commit: str
) -> GitFileBaseResponse:
    """``path`` in ``commit`` (see ``commit_of``). A link has its target as content; directories and submodules none.

    Raises InvalidRequest for a commit that is none, FileTooLarge over MAX_READ_BYTES.
    """
    for name in _names(path):
        found = _find(git, repository, objects, commit.encode() + b":" + repository.prefix + name)
        if found is not None and found.kind == _BLOB:
            content, encoding = encode_content(found.content)
            return GitFileBaseResponse(path=path.text, content=content, encoding=encoding, exists=True)
    if commit != HEAD and objects.read(git, repository, commit.encode()) is None:
        raise invalid_ref("ref")
    content, encoding = encode_content(b"")
    return GitFileBaseResponse(path=path.text, content=content, encoding=encoding, exists=False)


def _names(path: RelativePath) -> list[bytes]:
    """What git may know the path by, the likelier first."""
    literal, other = b"/".join(path.parts), unescaped_path(path)
    return [literal] if other is None else [literal, other]


def _find(git: Reader, repository: Repository, objects: ObjectReader, name: bytes) -> GitObject | None:
    if b"\n" not in name and not name.endswith(b"\r"):
        return objects.read(git, repository, name)
    # A question is a line, of which git drops a CR at its end; this one is asked alone, for the object's id.
    answer = repository.run(git, "rev-parse", "--verify", "--quiet", "--end-of-options", name)
    return objects.read(git, repository, answer.stdout.rstrip(b"\n")) if answer.is_success else None
