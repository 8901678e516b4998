"""Where HEAD, the current branch and its upstream are, for those that move them."""

from collections.abc import Mapping
from typing import Final, NamedTuple

from host.git.changing import Change
from host.git.parsing.branches import FORMAT, branch_name, parse_branches
from host.protocol.messages.git import GitSynced

HEADS: Final = "refs/heads/"


class Tracking(NamedTuple):
    """What a branch follows, and where it is pushed; each is empty where that is not configured."""

    upstream_remote: str
    upstream_ref: str
    push_remote: str


async def current_branch(change: Change) -> str | None:
    """None where HEAD is detached. The branch may have no commit yet."""
    answer = await change.look("symbolic-ref", "--quiet", "HEAD")
    return branch_name(answer.stdout.removesuffix(b"\n")) if answer.is_success else None


async def commit_id(change: Change, revision: str) -> str | None:
    """The id of the commit that ``commit_of`` or a full ref names; None if there is none."""
    answer = await change.look("rev-parse", "--verify", "--quiet", "--end-of-options", revision)
    return answer.stdout.decode().strip() if answer.is_success else None


async def has_ref(change: Change, ref: str) -> bool:
    """Whether there is a ref of exactly this full name."""
    return (await change.look("show-ref", "--verify", "--quiet", ref)).is_success


async def settings_of(change: Change) -> Mapping[str, str]:
    """The whole configuration: names as git spells them, the last value of each; of one without a value ``true``."""
    listing = (await change.look("config", "--list", "-z")).output().decode(errors="replace")
    entries = (entry.partition("\n") for entry in listing.split("\0")[:-1])
    return {name: value if has_value else "true" for name, has_value, value in entries}


def tracking_of(settings: Mapping[str, str], branch: str) -> Tracking:
    """What is configured, whether or not there is such a branch."""
    remote = settings.get(f"branch.{branch}.remote", "")
    push_remote = settings.get(f"branch.{branch}.pushremote") or settings.get("remote.pushdefault") or remote
    return Tracking(remote, settings.get(f"branch.{branch}.merge", ""), push_remote)


async def remotes_of(change: Change) -> list[str]:
    return (await change.look("remote")).output().decode(errors="replace").splitlines()


async def synced(change: Change) -> GitSynced:
    """Where the current branch stands."""
    name = await current_branch(change)
    if name is not None:
        _, branches = parse_branches((await change.look("for-each-ref", f"--format={FORMAT}", HEADS + name)).output())
        for branch in branches:
            if branch.name == name:
                return GitSynced(branch=name, oid=branch.oid, ahead=branch.ahead, behind=branch.behind)
    return GitSynced(branch=name, oid=await commit_id(change, "HEAD"), ahead=None, behind=None)
