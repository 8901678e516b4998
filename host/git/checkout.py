"""git_branch_create and git_checkout: another branch, and never another file's content."""

from typing import Final

from host.git.changing import Change
from host.git.head import HEADS, commit_id, current_branch, has_ref, remotes_of, settings_of, tracking_of
from host.git.refs import commit_of, invalid_ref
from host.protocol.errors import Conflict, InvalidRequest
from host.protocol.messages.git import GitBranchCreateResponse, GitCheckoutResponse

_REMOTES: Final = "refs/remotes/"
_HERE: Final = frozenset({"HEAD", "@"})
# Unlike `checkout` this never takes a name for a file's, and refuses in the middle of a merge or rebase.
_SWITCH: Final = ("switch", "--quiet", "--no-guess")


async def create_branch(
    change: Change, name: str, *, start_point: str | None, checkout: bool
) -> GitBranchCreateResponse:
    """Make a branch at ``start_point`` (HEAD); from a remote's branch it follows that, where git is so configured.

    Raises InvalidRequest for a name or start that can't be one, Conflict for a branch that exists, and with
    ``checkout`` as ``check_out``; the branch is not made then.
    """
    await _require_valid(change, name)
    start = start_point or "HEAD"
    if await commit_id(change, commit_of(start, field="startPoint")) is None:
        if start_point is None:
            raise Conflict(
                "There is no commit yet that a branch could begin at. Commit something first.", reason="unborn"
            )
        raise invalid_ref("startPoint")
    await change.run(*((*_SWITCH, "--create") if checkout else ("branch", "--quiet")), name, start)
    return GitBranchCreateResponse(name=name, oid=await commit_id(change, HEADS + name) or "")


async def check_out(change: Change, ref: str) -> GitCheckoutResponse:
    """Check out a local branch; a remote's, as the local one that follows it, made if need be; or a commit, detached.

    Raises InvalidRequest for what names none of these, Conflict where changes would be lost, in the middle of a merge
    or the like, and for a remote's branch whose name a local one has that follows another.
    """
    revision = commit_of(ref, field="ref")
    local = ref.removeprefix(HEADS)
    if await has_ref(change, HEADS + local):
        await change.run(*_SWITCH, local)
    elif (named := await _remote_branch(change, ref)) is not None:
        await _follow(change, *named)
    elif (oid := await commit_id(change, revision)) is not None:
        # Where we are is where we stay.
        if ref not in _HERE:
            await change.run(*_SWITCH, "--detach", oid)
    elif (meant := await _only_remote_with(change, ref)) is not None:
        await _follow(change, meant, ref)
    else:
        raise invalid_ref("ref")
    return GitCheckoutResponse(branch=await current_branch(change), oid=await commit_id(change, "HEAD") or "")


async def _require_valid(change: Change, name: str) -> None:
    # In full it is understood as another branch's name everywhere else.
    is_plain = not name.startswith(("-", "refs/")) and "\0" not in name and name not in _HERE
    if not is_plain or not (await change.look("check-ref-format", HEADS + name)).is_success:
        reason = "It can't be a branch's name. Use letters, digits, - and / only, without refs/heads/ before it."
        raise InvalidRequest.of_field("name", reason)


async def _remote_branch(change: Change, ref: str) -> tuple[str, str] | None:
    """The remote and its branch that ``origin/topic`` means."""
    name = ref.removeprefix(_REMOTES)
    # The longest first: a remote's name may hold a slash.
    for remote in sorted(await remotes_of(change), key=len, reverse=True):
        branch = name.removeprefix(f"{remote}/")
        if branch not in (name, "HEAD") and await _exists(change, remote, branch):
            return remote, branch
    return None


async def _only_remote_with(change: Change, branch: str) -> str | None:
    """Raises InvalidRequest where several remotes have such a branch."""
    having = [remote for remote in await remotes_of(change) if await _exists(change, remote, branch)]
    if len(having) > 1:
        choice = " or ".join(f"{remote}/{branch}" for remote in having)
        raise InvalidRequest.of_field("ref", f"Several remotes have a branch of this name. Send {choice}.")
    return having[0] if having else None


async def _exists(change: Change, remote: str, branch: str) -> bool:
    return await has_ref(change, f"{_REMOTES}{remote}/{branch}")


async def _follow(change: Change, remote: str, branch: str) -> None:
    """Check out the local branch of the same name, which follows the remote's; make it if there is none."""
    tracking = tracking_of(await settings_of(change), branch)
    if not await has_ref(change, HEADS + branch):
        await change.run(*_SWITCH, "--create", branch, "--track", f"{_REMOTES}{remote}/{branch}")
    elif (tracking.upstream_remote, tracking.upstream_ref) == (remote, HEADS + branch):
        await change.run(*_SWITCH, branch)
    else:
        raise Conflict(
            f"There is a branch {branch} here that does not follow {remote}/{branch}. Check that out by its name, or "
            f"create a branch of another name that starts at {remote}/{branch}.",
            reason="branchExists",
        )
