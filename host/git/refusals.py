"""What git's refusals mean to a peer. Pure.

A refusal that is not known here is GIT_FAILED, with git's own words in the details.
"""

import itertools
from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from host.core.redaction import without_url_credentials
from host.git.finished import Finished
from host.git.paths import shown_path
from host.git.refusal_words import (
    BEYOND_LINK,
    CONFLICTS,
    FAILURES,
    IGNORED,
    LOCKED,
    NO_CREDENTIAL,
    NOTHING_STAGED,
    OVERWRITTEN,
    REJECTED,
    UNKNOWN_PATH,
    UNMERGED,
    UPSTREAM_MISSING,
)
from host.protocol.errors import Conflict, FileNotFound, GitChangeFailed, InvalidRequest, ProtocolError, UnmergedResult

MAX_LISTED: Final = 100


def refusal(finished: Finished, *, prefix: bytes, unmerged: Sequence[bytes]) -> ProtocolError:
    """The error that tells a peer why a git that changes something failed.

    ``prefix`` leads from the working tree's top to the project. From the top ``unmerged`` are named, the files in
    conflict.
    """
    return _locked(finished) or _conflict(finished, prefix, unmerged) or _wrong_path(finished) or _failed(finished)


def lacks_credential(finished: Finished) -> str | None:
    """The remote's address, where git had no user name and password that it takes."""
    found = NO_CREDENTIAL.search(finished.stderr)
    return (found["asked"] or found["refused"]).decode(errors="replace") if found else None


def missing_credential(finished: Finished, address: str, *, has_helper: bool) -> GitChangeFailed:
    """``has_helper``: a credential helper is configured, and did not help."""
    if has_helper:
        advice = "The credential helper that is configured gave none that it takes."
    else:
        advice = "No credential helper is configured: set one with git config --global credential.helper."
    message = (
        f"{without_url_credentials(address)} wants a user name and a password or token, and nobody can be asked for "
        f"them from here. {advice} Sign in once in a terminal on the machine, with git fetch, then try again."
    )
    return _change_failed(finished, "credentials", message)


def unmerged_conflict(paths: Sequence[str], message: str) -> Conflict:
    return Conflict(message, reason="unmerged", paths=list(paths[:MAX_LISTED]))


def unmerged_result(unmerged: Sequence[bytes], *, prefix: bytes) -> UnmergedResult:
    """What came does not fit what is here, and git stopped in the middle."""
    message = (
        "What came was fetched, but it does not merge by itself. Edit the files in conflict, stage them and commit; "
        "a rebase is gone on with, or anything aborted, on the machine. git_status shows what is under way."
    )
    return UnmergedResult(message, reason="unmerged", paths=_in_project(unmerged, prefix))


def no_upstream(advice: str) -> Conflict:
    return Conflict(f"The branch has no upstream. {advice}", reason="noUpstream")


def _locked(finished: Finished) -> ProtocolError | None:
    found = LOCKED.search(finished.stderr)
    if found is None:
        return None
    file = shown_path(found["file"] or found["config"] + b".lock")
    message = (
        f"Another git is changing this repository, or one was killed and left {file} behind. Try again in a moment; "
        "when no git runs on the machine any more, that file can safely be deleted there."
    )
    return Conflict(message, reason="locked", file=file)


def _conflict(finished: Finished, prefix: bytes, unmerged: Sequence[bytes]) -> ProtocolError | None:
    stderr = finished.stderr
    if UNMERGED.search(stderr):
        return unmerged_conflict(
            _in_project(unmerged, prefix), "There are files in conflict. Edit and stage them, then try again."
        )
    if found := OVERWRITTEN.search(stderr):
        message = "Changes that are not committed would be overwritten. Commit or discard them, then try again."
        return Conflict(message, reason="localChanges", paths=_listed(stderr[found.end() :], prefix))
    if found := REJECTED.search(finished.stdout):
        return _rejected(found["why"])
    if UPSTREAM_MISSING.search(stderr):
        return no_upstream("Push it with setUpstream, or name the remote to pull from.")
    known = next((words for words in CONFLICTS if words.pattern.search(stderr)), None)
    return Conflict(known.message, reason=known.reason) if known else None


def _rejected(why: bytes) -> Conflict:
    if why == b"stale info":
        message = (
            "The remote's branch is not where it was last seen, so it was not overwritten. "
            "Fetch, look at what came, then push again."
        )
        return Conflict(message, reason="staleLease")
    message = "The remote has commits that are not here, so it did not take the push. Pull, then push again."
    return Conflict(message, reason="nonFastForward")


def _wrong_path(finished: Finished) -> ProtocolError | None:
    stderr = finished.stderr
    if found := IGNORED.search(stderr):
        reason = f"{shown_path(found['path'])} is ignored by a .gitignore file, so it is not staged."
        return InvalidRequest.of_field("paths", reason)
    if found := BEYOND_LINK.search(stderr):
        reason = f"{shown_path(found['path'])} leads through a symbolic link. Name it by its own path."
        return InvalidRequest.of_field("paths", reason)
    if found := UNKNOWN_PATH.search(stderr):
        path = shown_path(found["path"])
        return FileNotFound(f"{path} does not exist, and git does not know it. Ask for git_status.", path=path)
    return None


def _failed(finished: Finished) -> GitChangeFailed:
    if NOTHING_STAGED.search(finished.stdout):
        # Git says this on its standard output.
        said = replace(finished, stderr=finished.stdout)
        return _change_failed(said, "nothingStaged", "Nothing is staged, so there is nothing to commit. Stage first.")
    for words in FAILURES:
        if words.pattern.search(finished.stderr):
            return _change_failed(finished, words.reason, words.message)
    return GitChangeFailed(finished.failure().message, **finished.failure().details)


def _change_failed(finished: Finished, reason: str, message: str) -> GitChangeFailed:
    return GitChangeFailed(message, reason=reason, **finished.failure().details)


def _listed(text: bytes, prefix: bytes) -> list[str]:
    """The project's files of a list that follows at once: a tab before each, from the working tree's top."""
    lines = itertools.takewhile(lambda line: line.startswith(b"\t"), text.split(b"\n")[1:])
    return _in_project([line[1:] for line in lines], prefix)


def _in_project(paths: Sequence[bytes], prefix: bytes) -> list[str]:
    """Those of the paths from the working tree's top that lie in the project, as they are shown."""
    return [shown_path(path[len(prefix) :]) for path in paths if path.startswith(prefix)][:MAX_LISTED]
