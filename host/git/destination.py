"""Where a push goes. Pure."""

from collections.abc import Mapping
from typing import NamedTuple, Self

from host.git.head import HEADS, Tracking
from host.git.refusals import no_upstream
from host.protocol.errors import Conflict


class PushConfiguration(NamedTuple):
    """``push.default`` and ``push.autoSetupRemote``."""

    default: str = "simple"
    sets_upstream: bool = False

    @classmethod
    def of(cls, settings: Mapping[str, str]) -> Self:
        sets_upstream = settings.get("push.autosetupremote", "").lower() in ("true", "yes", "on", "1")
        return cls(settings.get("push.default", "simple"), sets_upstream)


class Destination(NamedTuple):
    """A full ref at the remote; ``sets_upstream``: the branch is to follow it from now on."""

    ref: str
    sets_upstream: bool = False


def push_destination(
    branch: str, remote: str, tracking: Tracking, configuration: PushConfiguration, *, is_explicit: bool
) -> Destination:
    """As ``git push`` decides. ``is_explicit``: the branch is to go to this remote under its own name.

    ``push.default`` ``matching`` and ``nothing`` count as ``simple``: one branch is pushed, and it was asked for.
    Raises Conflict where git would refuse: without an upstream, or with one of another name.
    """
    same = HEADS + branch
    follows_remote = tracking.upstream_remote == remote and tracking.upstream_ref != ""
    is_triangular = tracking.upstream_ref != "" and not follows_remote
    if is_explicit or is_triangular or configuration.default == "current":
        return Destination(same)
    if not follows_remote:
        if configuration.sets_upstream:
            return Destination(same, sets_upstream=True)
        raise no_upstream("Send setUpstream to push it under its own name, and have it follow that.")
    if tracking.upstream_ref == same or configuration.default in ("upstream", "tracking"):
        return Destination(tracking.upstream_ref)
    name = tracking.upstream_ref.removeprefix(HEADS)
    raise Conflict(
        f"The branch {branch} follows {name} of {remote}, which has another name. Send setUpstream to push it as "
        f"{branch} and have it follow that.",
        reason="upstreamDiffers",
    )
