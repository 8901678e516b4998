"""Watches every registered project, and tells its changes to whoever joined it."""

import asyncio
from collections.abc import Callable, Sequence
from functools import partial
from typing import Final, NamedTuple, Protocol

from host.core.publishing import Publish
from host.core.tasks import TaskSet
from host.db.database import Database
from host.db.projects import Project, set_last_fs_seq
from host.watch.numbers import BatchNumbers
from host.watch.port import Watcher
from host.watch.project_watch import ProjectWatch

_MAX_NAMES: Final = 5


class Projects(Protocol):
    """What watching needs to know of projects."""

    def all(self) -> Sequence[Project]: ...

    async def fs_seqs(self) -> dict[str, int]: ...

    def on_change(self, listener: Callable[[], None]) -> None: ...


class WatchStatus(NamedTuple):
    """``last_seq``: the number of the project's last batch. ``problem``: see WatchState."""

    is_running: bool
    last_seq: int
    problem: str | None = None


class Watching:
    """Settled once, then run until the end. What one project's watch runs into does not touch the others."""

    def __init__(self, watcher: Watcher, projects: Projects, database: Database, publish: Publish) -> None:
        self._watcher = watcher
        self._projects = projects
        self._database = database
        self._publish = publish
        self._watches: dict[str, ProjectWatch] = {}
        self._is_running = False
        self._stopping = TaskSet()
        self._listeners: list[Callable[[], None]] = []

    def on_change(self, listener: Callable[[], None]) -> None:
        """``listener`` is called when a project begins or ceases to be watched; not for each batch."""
        self._listeners.append(listener)

    async def settle(self) -> None:
        """At start, before any number is asked for: go on behind those that were used."""
        stored = await self._projects.fs_seqs()
        for project in self._projects.all():
            self._add(project, stored.get(project.project_id, 0))
        self._projects.on_change(self._follow)

    async def run(self) -> None:
        """Watch until cancelled; afterwards nothing is left of it."""
        self._is_running = True
        for watch in self._watches.values():
            watch.begin()
        try:
            await asyncio.get_running_loop().create_future()
        finally:
            self._is_running = False
            for watch in tuple(self._watches.values()):
                await watch.stop()
            await self._stopping.drain()
            await self._watcher.close()

    def seq_for_listing(self, project_id: str) -> int:
        """The number of the project's last batch, for who is about to list; 0 if there is no such project."""
        watch = self._watches.get(project_id)
        return watch.seq_for_listing() if watch else 0

    def status_of(self, project_id: str) -> WatchStatus:
        watch = self._watches.get(project_id)
        if watch is None:
            return WatchStatus(is_running=False, last_seq=0)
        return WatchStatus(watch.state.is_running, watch.last_seq, watch.state.problem)

    @property
    def warnings(self) -> tuple[str, ...]:
        """Why changes in some projects are not told, or not all or not at once: a sentence for each reason."""
        names: dict[str, list[str]] = {}
        for watch in self._watches.values():
            if watch.state.problem is not None:
                names.setdefault(watch.state.problem, []).append(watch.project.name)
        return tuple(f"{_listed(affected)}: {problem}" for problem, affected in names.items())

    def _follow(self) -> None:
        registered = {project.project_id: project for project in self._projects.all()}
        for project_id in self._watches.keys() - registered.keys():
            self._stopping.spawn(self._watches.pop(project_id).stop(), name=f"stop watching {project_id}")
        for project_id in registered.keys() - self._watches.keys():
            # A new project's: no number of it was ever used.
            watch = self._add(registered[project_id], stored_seq=0)
            if self._is_running:
                watch.begin()

    def _add(self, project: Project, stored_seq: int) -> ProjectWatch:
        async def store(seq: int) -> None:
            await self._database.write(partial(set_last_fs_seq, project_id=project.project_id, seq=seq))

        numbers = BatchNumbers(stored_seq, store)
        watch = ProjectWatch(project, self._watcher, numbers, self._publish, self._tell)
        self._watches[project.project_id] = watch
        return watch

    def _tell(self) -> None:
        for listener in self._listeners:
            listener()


def _listed(names: Sequence[str]) -> str:
    shown = ", ".join(names[:_MAX_NAMES])
    more = len(names) - _MAX_NAMES
    return f"{shown} and {more} more" if more > 0 else shown
