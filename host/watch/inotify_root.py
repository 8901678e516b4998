"""What a project's root lies in: the root may be moved, removed, unmounted, and be there again."""

from functools import partial

from host.watch import hints
from host.watch.inotify_holdings import APPEARING, ENTRIES, ITSELF, Holdings, is_directory
from host.watch.inotify_watches import InotifyWatches
from host.watch.project import Project


class RootGuard:
    """Gives the project a turn when there may be another root, or none. A Companion."""

    def __init__(self, project: Project, watches: InotifyWatches) -> None:
        self._project = project
        self._holdings = Holdings(watches)

    def begin(self) -> None:
        project, hold = self._project, self._holdings.hold
        for above in project.root.parents:
            hold(above, ITSELF, self._above_noticed, project.take_turn)
        if is_directory(project.root):
            hold(project.root, ITSELF | ENTRIES, self._root_noticed, project.root_ended)
        else:
            self._await_root()

    def end(self) -> None:
        self._holdings.release_all_but()

    def _await_root(self) -> None:
        missing = next(path for path in (self._project.root, *self._project.root.parents) if is_directory(path.parent))
        may_appear = partial(self._may_appear, missing.name)
        self._holdings.hold(missing.parent, ITSELF | APPEARING, may_appear, self._project.take_turn)
        if is_directory(missing):
            self._project.take_turn()

    def _above_noticed(self, name: str, said: int) -> None:
        if said & hints.MOVED_ITSELF:
            self._project.take_turn()

    def _root_noticed(self, name: str, said: int) -> None:
        if said & hints.MOVED_ITSELF:
            self._project.take_turn()
        elif said & hints.STRUCTURE:
            self._project.doubt_root()

    def _may_appear(self, missing: str, name: str, said: int) -> None:
        if name == missing or said & hints.MOVED_ITSELF:
            self._project.take_turn()
