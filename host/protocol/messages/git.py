"""git_* messages (docs/protocol.md, "Git")."""

from typing import Annotated, ClassVar, Literal

import msgspec
from msgspec import UNSET, UnsetType
from pydantic import Field

from host.protocol.limits import (
    MAX_COMMIT_MESSAGE_CHARS,
    MAX_DIFF_CONTEXT_LINES,
    MAX_GIT_PATHS,
    MAX_REF_CHARS,
)
from host.protocol.messages.base import Event, PageLimit, Request, Response
from host.protocol.messages.files import Encoding

Operation = Literal["merge", "rebase", "cherry-pick", "revert", "bisect"]
ChangeStatus = Literal["added", "modified", "deleted", "renamed", "copied", "typechange"]
LineKind = Literal["context", "add", "delete"]

Ref = Annotated[str, Field(min_length=1, max_length=MAX_REF_CHARS)]
RemoteName = Annotated[str, Field(min_length=1, max_length=MAX_REF_CHARS)]
Paths = Annotated[list[str], Field(min_length=1, max_length=MAX_GIT_PATHS)]


class GitStatus(Request):
    wire_type: ClassVar[str] = "git_status"


class Change(msgspec.Struct, rename="camel", gc=False):
    """One path that differs. ``orig_path``: what it was renamed or copied from."""

    path: str
    status: ChangeStatus
    orig_path: str | UnsetType = UNSET


class GitStatusResponse(Response):
    """``branch`` is None where HEAD is detached, ``oid`` where there is no commit yet.

    ``ahead`` and ``behind`` count commits; they are None without an upstream that exists. All lists
    together hold at most MAX_STATUS_PATHS paths.
    """

    branch: str | None
    oid: str | None
    upstream: str | None
    ahead: int | None
    behind: int | None
    detached: bool
    operation: Operation | None
    staged: list[Change]
    unstaged: list[Change]
    untracked: list[str]
    conflicted: list[str]
    truncated: bool


class GitBranches(Request):
    wire_type: ClassVar[str] = "git_branches"


class Branch(msgspec.Struct, rename="camel", gc=False):
    """A branch, of this repository or (``remote``) as a remote's was last seen, then with the remote's name before it.

    ``last_commit_at``: RFC 3339 UTC with milliseconds. ``subject``: the first line of that commit's message.
    """

    name: str
    oid: str
    upstream: str | None
    ahead: int | None
    behind: int | None
    remote: bool
    last_commit_at: str
    subject: str


class GitBranchesResponse(Response):
    """``current`` is None where HEAD is detached. A branch without a commit is current, but not listed."""

    current: str | None
    branches: list[Branch]


class GitBranchCreate(Request):
    wire_type: ClassVar[str] = "git_branch_create"
    name: Ref
    start_point: Ref | None = None
    checkout: bool = False


class GitBranchCreateResponse(Response):
    name: str
    oid: str
    success: bool = True


class GitCheckout(Request):
    wire_type: ClassVar[str] = "git_checkout"
    ref: Ref


class GitCheckoutResponse(Response):
    """``branch`` is None where HEAD is now detached."""

    branch: str | None
    oid: str
    success: bool = True


class GitStage(Request):
    wire_type: ClassVar[str] = "git_stage"
    paths: Paths


class GitUnstage(Request):
    wire_type: ClassVar[str] = "git_unstage"
    paths: Paths


class GitDiscard(Request):
    wire_type: ClassVar[str] = "git_discard"
    paths: Paths


class GitDone(Response):
    """It is done, and there is nothing more to tell."""

    success: bool = True


class GitCommit(Request):
    wire_type: ClassVar[str] = "git_commit"
    message: Annotated[str, Field(min_length=1, max_length=MAX_COMMIT_MESSAGE_CHARS)]
    amend: bool = False


class GitCommitResponse(Response):
    """``summary``: the commit's subject. ``branch`` is None where HEAD is detached."""

    sha: str
    branch: str | None
    summary: str


class GitPush(Request):
    """Without ``remote`` and ``branch``: the current branch, to where it is configured to go."""

    wire_type: ClassVar[str] = "git_push"
    remote: RemoteName | None = None
    branch: Ref | None = None
    set_upstream: bool = False
    force_with_lease: bool = False


class GitPushResponse(Response):
    remote: str
    branch: str
    success: bool = True


class GitFetch(Request):
    wire_type: ClassVar[str] = "git_fetch"
    remote: RemoteName | None = None


class GitPull(Request):
    wire_type: ClassVar[str] = "git_pull"
    remote: RemoteName | None = None


class GitSynced(Response):
    """Where the current branch stands after a fetch or pull; members are None as in ``git_status``."""

    branch: str | None
    oid: str | None
    ahead: int | None
    behind: int | None
    success: bool = True


class GitProgress(Event):
    """The last lines of what git says while it talks to a remote, for the asker. ``request_id`` is the request's."""

    wire_type: ClassVar[str] = "git_progress"
    request_id: str
    text: str


class GitFileBase(Request):
    wire_type: ClassVar[str] = "git_file_base"
    path: str
    ref: Ref = "HEAD"


class GitFileBaseResponse(Response):
    """A file as it is in a commit. ``content`` is a JSON string, already encoded.

    ``exists`` is false where the commit has no file there, or where there is no commit yet; the content is then empty.
    """

    path: str
    content: msgspec.Raw
    encoding: Encoding
    exists: bool


class GitDiff(Request):
    """The index against the working tree; ``staged``: HEAD against the index.

    ``from``: a commit against the working tree (with ``staged`` the index), or against the commit ``to``.
    """

    wire_type: ClassVar[str] = "git_diff"
    path: str | None = None
    staged: bool = False
    from_ref: Annotated[Ref | None, Field(alias="from")] = None
    to_ref: Annotated[Ref | None, Field(alias="to")] = None
    context: Annotated[int, Field(ge=0, le=MAX_DIFF_CONTEXT_LINES)] = 3


class DiffLine(msgspec.Struct, rename="camel", gc=False):
    """``old_line`` and ``new_line`` count from 1; an added line has no old one, a deleted one no new."""

    kind: LineKind
    text: str
    old_line: int | UnsetType = UNSET
    new_line: int | UnsetType = UNSET


class DiffHunk(msgspec.Struct, rename="camel"):
    """``header``: the line that git begins it with, ``@@ -1,3 +1,4 @@ …``."""

    header: str
    lines: list[DiffLine]


class DiffFile(msgspec.Struct, rename="camel", kw_only=True):
    path: str
    orig_path: str | UnsetType = UNSET
    status: ChangeStatus
    binary: bool
    hunks: list[DiffHunk]


class GitDiffResponse(Response):
    """``truncated``: files or hunks are missing, because there are too many."""

    files: list[DiffFile]
    truncated: bool


class GitLog(Request):
    """Newest first, from ``ref`` (HEAD) on; with ``path`` only the commits that changed it."""

    wire_type: ClassVar[str] = "git_log"
    ref: Ref | None = None
    path: str | None = None
    limit: PageLimit = 50
    skip: Annotated[int, Field(ge=0, le=2**31 - 1)] = 0


class Commit(msgspec.Struct, rename="camel"):
    """``author``: a name. ``authored_at``: RFC 3339 UTC with milliseconds. ``body``: the message below ``subject``."""

    sha: str
    parents: list[str]
    author: str
    authored_at: str
    subject: str
    body: str


class GitLogResponse(Response):
    """``more``: there are older commits behind these."""

    commits: list[Commit]
    more: bool
