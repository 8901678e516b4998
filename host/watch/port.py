"""What a watch of project directories tells, and how it is asked: the port of every watcher."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal, NamedTuple, Protocol

ChangeKind = Literal["create", "modify", "delete"]

# Told in one call, so that no burst holds up the event loop, also where each path has 2,000 components.
MAX_CHANGES_A_CALL: Final = 50


class Change(NamedTuple):
    """One difference between what was told before and what is on the disk. Nothing is told of what is ignored.

    ``path`` is as listings show it, names that are not UTF-8 escaped. ``is_dir`` tells what was
    made or is gone. A directory is never a ``modify``. One that is made comes before its contents,
    each of them a ``create``; of one that is gone, all that was known in it comes before it, each a
    ``delete``. A directory that takes a file's place, or the other way round, is a ``delete`` and a
    ``create`` of that path.

    What becomes ignored is not told, as it is still there, but that it goes, or is not ignored any more, is:
    a ``delete``, and in the latter case its ``create`` anew.
    """

    kind: ChangeKind
    path: str
    is_dir: bool


@dataclass(frozen=True, slots=True)
class WatchState:
    """``problem`` is a sentence for a person: why nothing is told, or why not everything or not at once."""

    is_running: bool
    problem: str | None = None


STARTING: Final = WatchState(is_running=False)
RUNNING: Final = WatchState(is_running=True)


class WatchListener(Protocol):
    """Told on the event loop, in the order in which things were seen. Each call must be quick and never raises."""

    def changed(self, changes: Sequence[Change]) -> None:
        """What changed, in order: 1 to MAX_CHANGES_A_CALL."""

    def lost(self) -> None:
        """Changes may have passed unseen: what is known of the files has to be read again.

        Also told when the watch begins to run, as nothing was seen before, and when the root is gone,
        is there again, or is another directory now.
        """

    def git_changed(self) -> None:
        """HEAD, the index, refs or the operation under way may have changed. Told for each burst, unthrottled."""

    def state_changed(self, state: WatchState) -> None:
        """Begins with STARTING, which is not told. Comes before ``lost`` when the watch begins to run."""


class Watch(Protocol):
    """One project's watch. It mends itself: what can't be watched is tried again, and ``state_changed`` tells."""

    @property
    def state(self) -> WatchState:
        """The last one told."""

    def stop(self) -> None:
        """Tell nothing more, from now on. To be called on the event loop; what was held is freed soon after."""


class Watcher(Protocol):
    """Watches any number of projects that do not overlap. Its work never stalls the event loop."""

    def watch(self, root: Path, listener: WatchListener) -> Watch:
        """Begin, and return at once. ``root`` is a real, absolute path. To be called on the event loop."""

    async def close(self) -> None:
        """End all watches; afterwards no thread and no descriptor is left."""
