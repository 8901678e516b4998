"""A project's repository: HEAD, the index and refs, and what it says is ignored."""

from functools import partial
from pathlib import Path
from typing import Final

from host.watch import hints
from host.watch.git_look import GitLook
from host.watch.git_state import MAX_REF_DIRECTORIES, Repository, directories_below, find_repository, is_state
from host.watch.inotify_holdings import CONTENTS, ENTRIES, Holdings, is_directory
from host.watch.inotify_watches import InotifyWatches
from host.watch.project import Project

# What is held besides, or says where that is.
_HELD: Final = frozenset({"refs", "reftable", "info", "commondir"})


class GitGuard:
    """Tells the project when its repository's state may have changed. A Companion."""

    def __init__(self, project: Project, watches: InotifyWatches) -> None:
        self._project = project
        self._holdings = Holdings(watches)
        # Where the system does not tell, what is found from time to time has to do.
        self._look = GitLook(project)

    def begin(self) -> None:
        self._hold_all()
        self._look.begin()

    def end(self) -> None:
        self._holdings.release_all_but()
        self._look.end()

    def _begin_anew(self) -> None:
        self._hold_all()
        self._project.git_changed()

    def _hold_all(self) -> None:
        root = self._project.root
        self._holdings.hold(root, ENTRIES, self._root_noticed, self._project.take_turn)
        repository = find_repository(root)
        held = {root}
        if repository is not None:
            held.update(self._hold_repository(repository))
        self._holdings.release_all_but(held)

    def _hold_repository(self, repository: Repository) -> set[Path]:
        # The top before what is in it, so that what appears meanwhile is told.
        tops = {repository.git_dir, repository.common_dir}
        for top in tops:
            self._holdings.hold(top, CONTENTS, self._top_noticed, self._begin_anew)
        # The only one that listings know of.
        info = self._project.root / ".git" / "info"
        self._holdings.hold(info, CONTENTS, self._info_noticed, _nothing)
        refs = set(repository.ref_directories())
        for directory in refs:
            self._hold_refs(directory)
        return {info, *tops, *refs}

    def _hold_refs(self, directory: Path) -> None:
        self._holdings.hold(directory, CONTENTS, partial(self._refs_noticed, directory), _nothing)

    def _root_noticed(self, name: str, said: int) -> None:
        if name == ".git":
            self._begin_anew()

    def _top_noticed(self, name: str, said: int) -> None:
        if name in _HELD and said & hints.STRUCTURE:
            self._begin_anew()
        elif is_state(name):
            self._project.git_changed()

    def _info_noticed(self, name: str, said: int) -> None:
        if name == "exclude":
            self._project.look_soon()

    def _refs_noticed(self, directory: Path, name: str, said: int) -> None:
        if name.endswith(".lock"):
            return
        self._project.git_changed()
        if said & hints.STRUCTURE and is_directory(directory / name):
            for below in directories_below(directory / name):
                if len(self._holdings) >= MAX_REF_DIRECTORIES:
                    return
                self._hold_refs(below)


def _nothing() -> None: ...
