"""The projects of this machine: a memory of the database's table, which changes only through here."""

import asyncio
import functools
import os
import secrets
import time
from collections.abc import Callable, Coroutine, Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

from host.core.clock import Clock, rfc3339
from host.core.tasks import TaskSet
from host.db import projects as table
from host.db.database import Database
from host.db.projects import Project
from host.paths.door import Door
from host.projects.directory import real_directory, refuse_too_wide
from host.projects.naming import check_label, default_name, shown_path
from host.projects.nesting import Overlap, find_overlap
from host.protocol.errors import InvalidRequest, ProjectNesting, ProjectNotFound
from host.protocol.limits import MAX_PROJECTS

_TOUCH_INTERVAL_S: Final = 60.0


def new_project_id() -> str:
    """``proj_`` and 16 hexadecimal digits; never used before, by chance of 2**64."""
    return f"proj_{secrets.token_hex(8)}"


class ProjectRegistry:
    """Made by ``load``. Reads are answered from memory; a change is durable before it is seen."""

    def __init__(
        self,
        database: Database,
        projects: Iterable[Project],
        *,
        clock: Clock = time.time,
        new_id: Callable[[], str] = new_project_id,
        user_home: Callable[[], str] = lambda: os.path.realpath(os.path.expanduser("~")),
    ) -> None:
        self._user_home = user_home
        self._database = database
        self._projects = {project.project_id: project for project in projects}
        self._clock = clock
        self._new_id = new_id
        self._changing = asyncio.Lock()
        self._listeners: list[Callable[[], None]] = []
        self._touched_at_s: dict[str, float] = {}
        self._touches = TaskSet()

    @classmethod
    async def load(
        cls, database: Database, *, clock: Clock = time.time, new_id: Callable[[], str] = new_project_id
    ) -> "ProjectRegistry":
        return cls(database, await database.read(table.all_projects), clock=clock, new_id=new_id)

    def on_change(self, listener: Callable[[], None]) -> None:
        """``listener`` is called after projects were added, removed or read again; not for ``last_opened_at``."""
        self._listeners.append(listener)

    async def add(self, path: Path, name: str | None = None, *, force: bool = False) -> Project:
        """Register a directory by its real path; one that is registered is returned as it is.

        ``path`` is absolute; ``force`` allows the user's home and what is around it. Raises
        FileNotFound, FileAccessFailed, InvalidRequest (not a directory, too wide, a wrong name,
        too many projects) or ProjectNesting.
        """
        label = None if name is None else check_label("name", name)
        real_path = await asyncio.to_thread(real_directory, path)
        async with self._changing:
            overlap = await asyncio.to_thread(find_overlap, real_path, tuple(self._projects.values()))
            if overlap is not None:
                return _same_or_refused(real_path, overlap)
            if not force:
                refuse_too_wide(real_path, Path(self._user_home()))
            if len(self._projects) >= MAX_PROJECTS:
                raise InvalidRequest(f"This machine has {MAX_PROJECTS} projects already. Remove one first.")
            now = rfc3339(self._clock())
            project = Project(self._new_id(), label or default_name(real_path), real_path, now, now)
            await _whole(self._insert(project))
        return project

    async def remove(self, project_id: str) -> Project:
        """Forget the project; its directory is not touched. Raises ProjectNotFound."""
        async with self._changing:
            project = self._get(project_id)
            await _whole(self._delete(project_id))
        return project

    async def reload(self) -> None:
        """Take the projects from the database again."""
        async with self._changing:
            projects = await self._database.read(table.all_projects)
            self._projects = {project.project_id: project for project in projects}
        self._tell()

    def all(self) -> list[Project]:
        """By name, then by path."""
        return sorted(self._projects.values(), key=lambda project: (project.name.casefold(), project.path))

    async def root_of(self, project_id: str) -> Path:
        """The project's directory, from memory; noted as opened, at most once a minute. Raises ProjectNotFound."""
        project = self._get(project_id)
        now_s = self._clock()
        if abs(now_s - self._touched_at_s.get(project_id, float("-inf"))) >= _TOUCH_INTERVAL_S:
            self._touched_at_s[project_id] = now_s
            self._touch(project, rfc3339(now_s))
        return project.path

    async def require_root(self, project_id: str) -> None:
        """Raises ProjectNotFound, or ProjectRootGone when its directory is not there."""
        root = await self.root_of(project_id)
        await asyncio.to_thread(_enter, root)

    async def fs_seqs(self) -> dict[str, int]:
        """For each project that was watched the last change number that it may have used, as it is stored."""
        return await self._database.read(table.all_fs_seqs)

    async def close(self) -> None:
        """Wait until what was noted on the side is stored. To be called before the database is closed."""
        await self._touches.drain()

    def _get(self, project_id: str) -> Project:
        try:
            return self._projects[project_id]
        except KeyError:
            raise ProjectNotFound from None

    async def _insert(self, project: Project) -> None:
        await self._database.write(functools.partial(table.insert_project, project=project))
        self._projects[project.project_id] = project
        self._tell()

    async def _delete(self, project_id: str) -> None:
        await self._database.write(functools.partial(table.delete_project, project_id=project_id))
        del self._projects[project_id]
        self._touched_at_s.pop(project_id, None)
        self._tell()

    def _touch(self, project: Project, at: str) -> None:
        self._projects[project.project_id] = replace(project, last_opened_at=at)
        store = functools.partial(table.set_last_opened, project_id=project.project_id, at=at)
        self._touches.spawn(self._database.write(store), name="store when a project was opened")

    def _tell(self) -> None:
        for listener in self._listeners:
            listener()


def _enter(root: Path) -> None:
    with Door(root):
        pass


async def _whole(change: Coroutine[Any, Any, None]) -> None:
    """Run the change to its end, also when the caller is cancelled: memory and table stay alike."""
    task = asyncio.create_task(change)
    try:
        await asyncio.shield(task)
    finally:
        await asyncio.wait((task,))


def _same_or_refused(real_path: Path, overlap: Overlap) -> Project:
    project = overlap.project
    if overlap.relation == "same":
        return project
    raise ProjectNesting(
        f"The directory {shown_path(real_path)} lies {overlap.relation} the project {project.name} "
        f"({shown_path(project.path)}). Projects cannot be nested: remove that one first, or choose another directory.",
        projectId=project.project_id,
    )
