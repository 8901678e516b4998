"""One project's watch, from its begin over every trouble to its end. Runs in a watching thread."""

import logging
import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final, Protocol

from host.watch import problems
from host.watch.crawl import DirectoryWatches, TooManyEntries
from host.watch.mailbox import Letter, Mailbox, Signal
from host.watch.port import STARTING, Change, WatchState
from host.watch.root import OpenRoot, RootUnusable, opened_root, root_rules
from host.watch.tree import Tree

logger = logging.getLogger(__name__)

# Of one project, some 150 bytes each.
MAX_ENTRIES: Final = 1_000_000
# Of a root that is not there: the next one is looked at, also if it is the same again.
_NO_IDENTITY: Final = (0, 0)


@dataclass(frozen=True, slots=True)
class Timing:
    """In seconds: when something is looked at although nothing was told of it."""

    # The root, after something in it was made or removed: it may be gone, too.
    root_s: float = 1.0
    # The root, when it is gone. What it lay in is watched besides.
    gone_s: float = 30.0
    # What could not be read, or was too large.
    refused_s: float = 60.0
    # All files, where not all of them are told of: so often at most …
    poll_s: float = 10.0
    # … and for so large a part of the time.
    poll_share: float = 0.02


class Watches(DirectoryWatches, Protocol):
    @property
    def tells_all(self) -> bool:
        """Whether every write is told of, or that something was lost."""

    def try_again(self) -> None:
        """What the system refused may be possible now."""


class Companion(Protocol):
    """What is watched beside a project's own files: what its root lies in, its repository."""

    def begin(self) -> None:
        """Watch from now on, as far as it is possible; what is watched already stays so."""

    def end(self) -> None:
        """Watch nothing."""


class Project:
    """To be given a turn when it ``is_busy`` and at ``due_s``, a time of ``clock``.

    ``file_system`` is the type of one that others change too, without telling this machine. ``ignored``: patterns,
    a line each, that hold in every project.
    """

    def __init__(
        self,
        root: Path,
        mailbox: Mailbox,
        watches: Watches,
        companions: Callable[["Project"], tuple[Companion, ...]],
        *,
        file_system: str | None,
        ignored: str,
        timing: Timing,
        max_entries: int = MAX_ENTRIES,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.root = root
        self._mailbox = mailbox
        self._watches = watches
        self.companions = companions(self)
        self._shared = problems.shared(root, file_system) if file_system else None
        self._ignored = ignored
        self._timing = timing
        self._max_entries = max_entries
        self._clock = clock
        self._tree: Tree | None = None
        self._identity = _NO_IDENTITY
        self._look_begun_s: float | None = None
        self._look_due_s = -math.inf
        self._turn_due_s = math.inf
        self._state = STARTING
        self._letters: list[Letter] = []

    @property
    def tree(self) -> Tree | None:
        """None while there is nothing to watch."""
        return self._tree

    @property
    def is_busy(self) -> bool:
        return self._tree is not None and self._tree.is_pending

    @property
    def due_s(self) -> float:
        return min(self._look_due_s, self._turn_due_s)

    def turn(self, until_s: float) -> None:
        """Work until that time, and deliver what was seen."""
        self._turn_due_s = math.inf
        try:
            with opened_root(self.root) as root:
                if tree := self._tree_of(root):
                    self._look_if_due(tree)
                    self._work(tree, root, until_s)
        except RootUnusable as exc:
            if exc.is_gone:
                self._identity = _NO_IDENTITY
            self._fail(exc.problem, self._timing.gone_s if exc.is_gone else self._timing.refused_s)
        self._deliver()

    def fail_unforeseen(self) -> None:
        """After a turn that raised."""
        self._fail(problems.unforeseen(self.root), self._timing.refused_s)
        self._deliver()

    def take_turn(self, in_s: float = 0.0) -> None:
        """Be due then, at the latest."""
        self._turn_due_s = min(self._turn_due_s, self._clock() + in_s)

    def doubt_root(self) -> None:
        """Something in the root was made or removed; the root itself may be next, which is not always told."""
        self.take_turn(self._timing.root_s)

    def look_soon(self) -> None:
        """Look at all files: what happened lately may not have been told, or other names may be ignored now."""
        if self._tree is not None:
            self._look_due_s = -math.inf

    def git_changed(self) -> None:
        if Signal.GIT_CHANGED not in self._letters:
            self._letters.append(Signal.GIT_CHANGED)
        self.take_turn()

    def lost(self) -> None:
        """The system dropped some of what it had to tell."""
        if self._tree is not None:
            logger.warning("Too much changed at once below %s: it is read anew.", self.root)
            self._tree.forget_pending()
            self.look_soon()

    def root_ended(self) -> None:
        """The root was removed or unmounted; there may be another one by now."""
        self.end()
        self._identity = _NO_IDENTITY
        self.take_turn()

    def end(self) -> None:
        """Watch nothing until the next turn."""
        for companion in self.companions:
            companion.end()
        if self._tree is not None:
            self._tree.close()
            self._tree = None

    def _tree_of(self, root: OpenRoot) -> Tree | None:
        """None where a root that could not be read a while ago is not to be tried again yet."""
        if self._identity != root.identity:
            self.end()
            self._identity = root.identity
            self._look_due_s = -math.inf
        if self._tree is None:
            if self._clock() < self._look_due_s:
                return None
            is_stamped = self._shared is not None or not self._watches.tells_all
            self._tree = Tree(
                self._watches,
                partial(root_rules, self.root, self._ignored),
                self._tell,
                is_stamped=is_stamped,
                max_entries=self._max_entries,
            )
        return self._tree

    def _tell(self, change: Change) -> None:
        self._letters.append(change)

    def _look_if_due(self, tree: Tree) -> None:
        # One look after the other: who changes the rules without end must not pile them up.
        if self._clock() >= self._look_due_s and not tree.crawl.is_pending:
            self._look_again(tree)

    def _look_again(self, tree: Tree) -> None:
        self._look_begun_s = self._clock()
        self._look_due_s = math.inf
        self._watches.try_again()
        for companion in self.companions:
            companion.begin()
        tree.crawl.refusal = None
        tree.look_again()

    def _work(self, tree: Tree, root: OpenRoot, until_s: float) -> None:
        try:
            tree.work(root.descriptor, until_s, self._clock)
        except OSError as exc:
            raise RootUnusable(problems.root_refused(self.root, exc), is_gone=False) from exc
        except TooManyEntries as exc:
            raise RootUnusable(problems.too_large(self.root, self._max_entries), is_gone=False) from exc
        if not tree.is_pending:
            self._settle(tree)

    def _settle(self, tree: Tree) -> None:
        """All that was told of is known now."""
        refusal = tree.crawl.refusal
        if refusal and not tree.crawl.is_stamped:
            # From now on files are compared with what they were, which has to be found out first.
            tree.crawl.is_stamped = True
            tree.forget_pending()
            self._look_again(tree)
            return
        problem = refusal or self._shared
        if self._look_begun_s is not None:
            tree.crawl.is_stamped = problem is not None or not self._watches.tells_all
            self._look_due_s = self._next_look_s(self._timing.poll_s) if tree.crawl.is_stamped else math.inf
            self._look_begun_s = None
        is_lost = tree.is_muted
        tree.unmute()
        self._tell_state(WatchState(is_running=True, problem=problem))
        if is_lost:
            self._letters.append(Signal.LOST)

    def _next_look_s(self, after_s: float) -> float:
        """When to look again: so long after now, and longer if the last look took long."""
        now_s = self._clock()
        took_s = 0.0 if self._look_begun_s is None else now_s - self._look_begun_s
        return now_s + max(after_s, took_s / self._timing.poll_share)

    def _fail(self, problem: str, retry_s: float) -> None:
        self.end()
        for companion in self.companions:
            companion.begin()
        self._look_due_s = self._next_look_s(retry_s)
        self._look_begun_s = None
        if self._tell_state(WatchState(is_running=False, problem=problem)):
            logger.warning("%s", problem)
            self._letters.append(Signal.LOST)

    def _deliver(self) -> None:
        if self._letters:
            self._mailbox.put(self._letters)
            self._letters = []

    def _tell_state(self, state: WatchState) -> bool:
        """Returns whether it is another one than before."""
        if state == self._state:
            return False
        self._state = state
        self._letters.append(state)
        return True
