"""What is known to be on the disk, and telling what became of it."""

from collections.abc import Callable, Iterator, Mapping

from host.paths.relative import join, shown
from host.watch.directory import Directory, Noticing, Stamp
from host.watch.port import Change, ChangeKind
from host.watch.rules import SharedRules


class Index:
    """The directories and names of one project that are not ignored, the root's own at the top.

    What is put in or taken out is told, unless ``is_muted``. ``size`` counts the entries.
    ``dropped`` is called with each directory that is taken out.
    """

    def __init__(
        self, keeper: Noticing, rules: SharedRules, tell: Callable[[Change], None], dropped: Callable[[Directory], None]
    ) -> None:
        self.root = Directory(keeper, None, "", rules)
        self.size = 0
        self.is_muted = True
        self._keeper = keeper
        self._tell = tell
        self._dropped = dropped

    def add_file(self, parent: Directory, name: str, stamp: Stamp) -> None:
        self.no_more_hidden(parent, name)
        parent.entries[name] = stamp
        self.size += 1
        self.say("create", parent, name, is_dir=False)

    def add_files(self, parent: Directory, files: Mapping[str, Stamp]) -> None:
        """The same for many at once, of which none is known, in a directory with nothing hidden."""
        parent.entries.update(files)
        self.size += len(files)
        if not self.is_muted:
            path = parent.shown_path
            for name in files:
                self._tell(Change("create", join(path, shown(name)), is_dir=False))

    def add_directory(self, parent: Directory, name: str) -> Directory:
        """Its contents are still to be looked at."""
        self.no_more_hidden(parent, name)
        directory = Directory(self._keeper, parent, name, parent.rules)
        parent.entries[name] = directory
        self.size += 1
        self.say("create", parent, name, is_dir=True)
        return directory

    def say(self, kind: ChangeKind, parent: Directory, name: str, *, is_dir: bool) -> None:
        if not self.is_muted:
            self._tell(Change(kind, parent.shown_path_of(name), is_dir))

    def take_out(self, parent: Directory, name: str) -> None:
        """The entry, and all below it, is not there any more."""
        taken = self._taken(parent, name)
        if not self.is_muted:
            for path, is_dir in reversed(taken):
                self._tell(Change("delete", path, is_dir))

    def hide(self, parent: Directory, name: str, *, is_dir: bool) -> None:
        """The entry is there but ignored. If it was known before, that is not told: it isn't gone."""
        known = parent.entries.get(name)
        if known is None:
            return
        if isinstance(known, Directory) is not is_dir:
            self.take_out(parent, name)
            return
        self._taken(parent, name)
        parent.hidden = parent.hidden or {}
        parent.hidden[name] = is_dir

    def no_more_hidden(self, parent: Directory, name: str) -> None:
        """The entry is gone, or not ignored any more: then what was told of it before is out of date."""
        if parent.hidden and name in parent.hidden:
            self.say("delete", parent, name, is_dir=parent.hidden.pop(name))

    def _taken(self, parent: Directory, name: str) -> list[tuple[str, bool]]:
        known = parent.entries.pop(name)
        path = parent.shown_path_of(name)
        taken = list(self._taken_out(known, path)) if isinstance(known, Directory) else [(path, False)]
        self.size -= len(taken)
        return taken

    def drop_all(self) -> None:
        for _ in self._taken_out(self.root, ""):
            pass

    def _taken_out(self, top: Directory, path: str) -> Iterator[tuple[str, bool]]:
        """The shown paths, and whether they are directories, each before what is in it."""
        waiting = [(top, path)]
        while waiting:
            directory, path = waiting.pop()
            directory.is_gone = True
            self._dropped(directory)
            yield path, True
            for name, known in directory.entries.items():
                below = join(path, shown(name))
                if isinstance(known, Directory):
                    waiting.append((known, below))
                else:
                    yield below, False
