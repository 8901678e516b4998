"""fs_changed and git_changed (docs/protocol.md, "Change events")."""

from typing import ClassVar, Literal

import msgspec
from msgspec import UNSET, UnsetType

from host.protocol.messages.base import Event

ChangeKind = Literal["create", "modify", "delete"]


class FsChange(msgspec.Struct, frozen=True, gc=False):
    """The net change of one path since the batch before. ``path`` is as listings spell it."""

    kind: ChangeKind
    path: str


class FsChanged(Event):
    """One batch. ``seq`` counts those of the project; ``changes_truncated``: there is more than what stands here."""

    wire_type: ClassVar[str] = "fs_changed"
    seq: int
    changes: list[FsChange]
    changes_truncated: bool | UnsetType = UNSET


class GitChanged(Event):
    """The project's HEAD, index or refs changed."""

    wire_type: ClassVar[str] = "git_changed"
