"""One project's index, kept equal to the disk: by what the system says of entries, and by looking."""

import errno
import os
import time
from collections.abc import Callable
from stat import S_ISDIR, S_ISREG
from typing import Final

from host.watch import hints
from host.watch.crawl import GITIGNORE, Crawl, DirectoryWatches, Look, TooManyEntries
from host.watch.directory import NOT_WATCHED, Directory
from host.watch.index import Index
from host.watch.marks import Marks
from host.watch.opening import Opener
from host.watch.port import Change
from host.watch.rules import SharedRules

# A directory that could not be opened for it may be gone, or be at its place again by now.
_MOVED: Final = frozenset({errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.ESTALE})
# Of this process or of the machine: it says nothing about the directory.
_OUT_OF_MEANS: Final = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOMEM})
# Between two rests. A program that renames without end could keep us busy.
_MAX_DOUBTS: Final = 1000
_MAX_NAMES_A_TURN: Final = 100
_REPLACED: Final = hints.STRUCTURE | hints.DOUBT


class Tree:
    """All but ``noticed`` is called by one thread, which works off what is pending in turns.

    ``tell`` gets every change, in order. It begins empty and muted: look again, then unmute.
    """

    def __init__(
        self,
        watches: DirectoryWatches,
        root_rules: Callable[[], SharedRules],
        tell: Callable[[Change], None],
        *,
        is_stamped: bool,
        max_entries: int,
    ) -> None:
        self._watches = watches
        self._marks = Marks()
        self._index = Index(self, SharedRules(()), tell, watches.drop)
        self._max_entries = max_entries
        self.crawl = Crawl(self._index, watches, root_rules, is_stamped=is_stamped, max_entries=max_entries)
        self._doubts = 0

    @property
    def root(self) -> Directory:
        return self._index.root

    @property
    def is_muted(self) -> bool:
        return self._index.is_muted

    @property
    def is_pending(self) -> bool:
        return self.crawl.is_pending or bool(self._marks)

    def noticed(self, directory: Directory, name: str, said: int) -> None:
        if directory.is_gone:
            return
        self._marks.add(directory, name, said)
        if self._marks.are_too_many:
            self.forget_pending()
            self.look_again()

    def forget_pending(self) -> None:
        """What was seen is incomplete: look again, and nothing is told until ``unmute``."""
        self._index.is_muted = True
        self._marks.clear()
        self.crawl.clear()

    def look_again(self) -> None:
        """Look at everything."""
        self.crawl.queue(self.root, Look.AGAIN)

    def unmute(self) -> None:
        self._index.is_muted = False

    def work(self, root: int, until_s: float, clock: Callable[[], float] = time.monotonic) -> None:
        """Work off what is pending, below the open ``root``, until that time.

        Raises TooManyEntries, and OSError where it can't be done. What is in a new directory comes
        before what happened after it was made.
        """
        with Opener(root) as opener:
            while clock() < until_s:
                if self.crawl.is_pending:
                    self._look_at_next(opener)
                elif self._marks:
                    self._verify_some(opener)
                else:
                    break
        if self._index.size > self._max_entries:
            raise TooManyEntries
        if not self.is_pending:
            self._doubts = 0

    def close(self) -> None:
        """End all watches."""
        self.crawl.clear()
        self._marks.clear()
        self._index.drop_all()

    def _look_at_next(self, opener: Opener) -> None:
        directory, look = self.crawl.take()
        if directory.is_gone:
            return
        try:
            descriptor = opener.open(directory)
            try:
                self.crawl.look_at(directory, descriptor, look)
            finally:
                opener.close(directory, descriptor, is_next_in_it=self.crawl.is_next_in(directory))
        except OSError as exc:
            self._could_not_look(opener, directory, exc)

    def _verify_some(self, opener: Opener) -> None:
        """Look at the entries of one directory whose turn it is."""
        directory = self._marks.first
        if directory.is_gone:
            self._marks.take()
            return
        try:
            descriptor = opener.open(directory)
        except OSError as exc:
            self._marks.take()
            self._could_not_look(opener, directory, exc)
            return
        try:
            for _ in range(_MAX_NAMES_A_TURN):
                name, said = self._marks.take()
                self._verify(directory, descriptor, name, said)
                if self.crawl.is_pending or not self._marks or self._marks.first is not directory:
                    return
        finally:
            os.close(descriptor)

    def _verify(self, directory: Directory, descriptor: int, name: str, said: int) -> None:
        if name == GITIGNORE and self.crawl.has_other_rules(directory, descriptor):
            self.crawl.queue(directory, Look.AGAIN)
        try:
            status = os.stat(name, dir_fd=descriptor, follow_symlinks=False)
        except FileNotFoundError:
            if name in directory.entries:
                self._index.take_out(directory, name)
            self._index.no_more_hidden(directory, name)
            return
        except OSError:
            # What it is can't be found out, as where a directory's names may be read but not more.
            return
        is_dir = S_ISDIR(status.st_mode)
        if directory.ignores(name, is_dir=is_dir):
            self._index.hide(directory, name, is_dir=is_dir)
        elif is_dir:
            self.crawl.take_directory(directory, name, Look.IN_DOUBT if said & hints.DOUBT else Look.IF_REPLACED)
        else:
            self.crawl.take_file(directory, name, self.crawl.stamp(status), is_written=_is_written(status, said))

    def _could_not_look(self, opener: Opener, directory: Directory, error: OSError) -> None:
        """Raises the error if it isn't about the directory."""
        if error.errno in _OUT_OF_MEANS:
            raise error
        if error.errno not in _MOVED:
            # It may not be read: what is in it is left out.
            self._watches.drop(directory)
            directory.identity = NOT_WATCHED
            return
        self._doubts += 1
        if self._doubts > _MAX_DOUBTS:
            raise error
        self._doubt(opener, directory)

    def _doubt(self, opener: Opener, directory: Directory) -> None:
        """What happened in it was missed, as it, or what it lies in, was elsewhere meanwhile."""
        while (parent := directory.parent) is not None:
            try:
                with opener.opened(parent) as descriptor:
                    self._verify(parent, descriptor, directory.name, hints.DOUBT)
                return
            except OSError as exc:
                if exc.errno in _OUT_OF_MEANS:
                    raise
                directory = parent


def _is_written(status: os.stat_result, said: int) -> bool:
    """Whether the file has other content than before, or may have."""
    if said & _REPLACED:
        return True
    if not S_ISREG(status.st_mode):
        return False
    # The last change was of both times alike: not of the mode, the owner or a link count.
    return bool(said & hints.CONTENT) or status.st_mtime_ns == status.st_ctime_ns
