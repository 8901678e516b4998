"""git_push, git_fetch and git_pull: to and from remotes that are configured, and no others."""

from collections.abc import Callable, Collection
from typing import Final

from host.core.redaction import without_url_credentials
from host.git.changing import Change
from host.git.destination import PushConfiguration, push_destination
from host.git.finished import Finished
from host.git.head import HEADS, current_branch, has_ref, remotes_of, settings_of, synced, tracking_of
from host.git.progress import ProgressSender
from host.git.refs import commit_of, invalid_ref
from host.git.refusals import lacks_credential, missing_credential, unmerged_result
from host.protocol.errors import Conflict, InvalidRequest
from host.protocol.messages.git import GitPush, GitPushResponse, GitSynced

Tell = Callable[[str], None]

# Nothing, a branch of this repository, and what git assumes.
_NO_NAMES: Final = frozenset({"", ".", "origin"})
_HELPER: Final = ("config", "--get-urlmatch", "credential.helper")


async def push(change: Change, request: GitPush, tell: Tell) -> GitPushResponse:
    """Push one branch, to where the user's git would, or under its own name to a remote that is named.

    Raises InvalidRequest for a branch or remote that there is not, Conflict where the remote has what is not here,
    where git would not know where to push, and where HEAD is detached.
    """
    branch = request.branch.removeprefix(HEADS) if request.branch else await _attached(change)
    commit_of(branch, field="branch")
    if not await has_ref(change, HEADS + branch):
        raise invalid_ref("branch") if request.branch else _unborn()
    settings = await settings_of(change)
    tracking = tracking_of(settings, branch)
    remote = await _chosen_remote(change, request.remote, tracking.push_remote)
    destination = push_destination(
        branch,
        remote,
        tracking,
        PushConfiguration.of(settings),
        is_explicit=request.remote is not None or request.set_upstream,
    )
    options = [
        *(["--set-upstream"] if request.set_upstream or destination.sets_upstream else []),
        *(["--force-with-lease"] if request.force_with_lease else []),
    ]
    refspec = f"{HEADS}{branch}:{destination.ref}"
    await _run(change, tell, "push", "--porcelain", "--progress", *options, "--", remote, refspec)
    return GitPushResponse(remote=remote, branch=branch)


async def fetch(change: Change, remote: str | None, tell: Tell) -> GitSynced:
    """Fetch what a remote has; the current branch's own if none is named."""
    branch = await current_branch(change)
    configured = tracking_of(await settings_of(change), branch).upstream_remote if branch else ""
    chosen = await _chosen_remote(change, remote, configured)
    await _run(change, tell, "fetch", "--progress", "--", chosen)
    return await synced(change)


async def pull(change: Change, remote: str | None, tell: Tell) -> GitSynced:
    """Fetch, and merge or rebase as the user's git is configured to.

    Raises Conflict where HEAD is detached, where changes would be overwritten, and where git was not told how to
    bring diverged branches together. UnmergedResult: it stopped in the middle, at files in conflict.
    """
    branch = await _attached(change)
    tracking = tracking_of(await settings_of(change), branch)
    source: tuple[str, ...] = ()
    if remote is not None:
        chosen = await _chosen_remote(change, remote, "")
        # From another remote than its own, the branch of the same name.
        source = (chosen,) if chosen == tracking.upstream_remote else (chosen, HEADS + branch)
    elif tracking.upstream_remote not in _NO_NAMES:
        # Git will pull from there, which must be a remote.
        await _chosen_remote(change, None, tracking.upstream_remote)
    had_conflicts = await change.unmerged()
    finished = await _attempt(change, tell, "pull", "--progress", *source)
    # Also after a success: what was put aside before (autostash) may not fit any more.
    conflicts = await change.unmerged()
    if conflicts and not had_conflicts:
        raise unmerged_result(conflicts, prefix=change.repository.prefix)
    await _require_success(change, finished)
    return await synced(change)


async def _run(change: Change, tell: Tell, *arguments: str) -> None:
    await _require_success(change, await _attempt(change, tell, *arguments))


async def _attempt(change: Change, tell: Tell, *arguments: str) -> Finished:
    progress = ProgressSender(tell)
    try:
        return await change.attempt(*arguments, on_stderr=progress.feed)
    finally:
        progress.finish()


async def _require_success(change: Change, finished: Finished) -> None:
    if finished.is_success:
        return
    address = lacks_credential(finished)
    if address is not None:
        raise missing_credential(finished, address, has_helper=(await change.look(*_HELPER, address)).is_success)
    raise await change.refusal(finished)


async def _chosen_remote(change: Change, asked: str | None, configured: str) -> str:
    """A remote by its name. Raises InvalidRequest for any other, be it a URL or a path."""
    remotes = await remotes_of(change)
    # One that looks like an option can't be named to every git that a git starts.
    usable = [remote for remote in remotes if not remote.startswith("-")]
    if asked is not None:
        if asked not in usable:
            raise InvalidRequest.of_field("remote", "This repository has no such remote. Name one that is configured.")
        return asked
    return _default_remote(usable, configured)


def _default_remote(remotes: Collection[str], configured: str) -> str:
    for name in (configured, "origin"):
        if name in remotes:
            return name
        if name not in _NO_NAMES:
            address = without_url_credentials(name)
            raise InvalidRequest.of_field("remote", f"The branch goes to {address}, which is no remote. Name one.")
    if len(remotes) == 1:
        return next(iter(remotes))
    if remotes:
        reason = f"There are several: {', '.join(remotes)}. Name one."
    else:
        reason = "This repository has no remote. Add one on the machine with git remote add."
    raise InvalidRequest.of_field("remote", reason)


async def _attached(change: Change) -> str:
    branch = await current_branch(change)
    if branch is None:
        raise Conflict(
            "HEAD is detached: no branch is checked out. Check one out, or create one, then try again.",
            reason="detached",
        )
    return branch


def _unborn() -> Conflict:
    return Conflict(
        "The branch has no commit yet, so there is nothing to push. Commit something first.", reason="unborn"
    )
