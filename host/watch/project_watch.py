"""One project's changes on their way: seen by a watch, gathered in batches, numbered, told."""

import asyncio
import logging
import time
from collections.abc import Callable, Sequence
from typing import Final

from msgspec import UNSET

from host.core.publishing import Publish
from host.core.tasks import TaskSet
from host.db.errors import DatabaseError
from host.db.projects import Project
from host.protocol.messages.watching import FsChanged, GitChanged
from host.watch.batcher import Batcher
from host.watch.due import WhenDue
from host.watch.numbers import BatchNumbers
from host.watch.port import STARTING, Change, Watch, Watcher, WatchState
from host.watch.throttle import GitThrottle

logger = logging.getLogger(__name__)

_STORE_AGAIN_S: Final = 5.0


class ProjectWatch:
    """Implements WatchListener. What can't be sent is counted: a client that missed a batch sees the gap.

    ``on_state`` is called whenever ``state`` is another one. To be stopped in the end.
    """

    def __init__(
        self,
        project: Project,
        watcher: Watcher,
        numbers: BatchNumbers,
        publish: Publish,
        on_state: Callable[[], None],
    ) -> None:
        self.project: Final = project
        self.state = STARTING
        self._watcher = watcher
        self._numbers = numbers
        self._publish = publish
        self._on_state = on_state
        self._watch: Watch | None = None
        self._has_begun = False
        self._was_listed = False
        self._tasks = TaskSet()
        self._batcher = Batcher()
        self._batches = WhenDue(lambda: self._batcher.due_s, self._send_batch, self._tasks)
        self._git = GitThrottle()
        self._git_news = WhenDue(lambda: self._git.due_s, self._send_git_changed, self._tasks)

    def begin(self) -> None:
        """Begin to watch, and return at once."""
        self._tasks.spawn(self._begin(), name=f"begin to watch {self.project.project_id}")

    async def stop(self) -> None:
        """Tell nothing more, also of what was seen already."""
        if self._watch is not None:
            self._watch.stop()
        await self._tasks.cancel()

    @property
    def last_seq(self) -> int:
        """The number of the last batch, or the one that was skipped after it."""
        return self._numbers.last

    def seq_for_listing(self) -> int:
        """The same, for who is about to list the project's files."""
        self._was_listed = True
        return self._numbers.last

    # What the watch tells

    def changed(self, changes: Sequence[Change]) -> None:
        now_s = time.monotonic()
        for change in changes:
            self._batcher.add(now_s, change)
        self._batches.look()

    def lost(self) -> None:
        # What nobody has listed since the daemon's start need not be listed again when the watch begins.
        if self._has_begun or self._was_listed:
            self._batcher.lose(time.monotonic())
            self._batches.look()
        self._has_begun = True

    def git_changed(self) -> None:
        self._git.note(time.monotonic())
        self._git_news.look()

    def state_changed(self, state: WatchState) -> None:
        if state.is_running and not self.state.is_running:
            # Ahead of telling that it runs, so that whoever hears of it hears a number that shows the gap.
            self._numbers.skip()
        self.state = state
        self._on_state()

    # What is sent

    async def _begin(self) -> None:
        # Numbers first: none may be told, not even as skipped, that could be used again after a crash.
        await self._reserve_numbers()
        self._watch = self._watcher.watch(self.project.path, self)

    async def _send_batch(self) -> None:
        await self._reserve_numbers()
        batch = self._batcher.take()
        if batch is None:
            return
        if not batch.changes:
            self._numbers.skip()
        truncated = True if batch.truncated else UNSET
        event = FsChanged(seq=self._numbers.take(), changes=batch.changes, changes_truncated=truncated)
        self._publish(self.project.project_id, event)

    async def _send_git_changed(self) -> None:
        self._git.take(time.monotonic())
        self._publish(self.project.project_id, GitChanged())

    async def _reserve_numbers(self) -> None:
        """Tries until it succeeds: meanwhile the changes wait, and the state says why."""
        while True:
            try:
                await self._numbers.reserve()
                break
            except DatabaseError as exc:
                logger.warning("Changes in %s can't be told yet: %s", self.project.name, exc.message)
                self.state_changed(WatchState(is_running=False, problem=exc.message))
            await asyncio.sleep(_STORE_AGAIN_S)
        watched = self._watch.state if self._watch else STARTING
        if self.state != watched:
            self.state_changed(watched)
