"""The projects, through the running daemon or, when none runs, in the database itself."""

import asyncio
import os
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import quote

import msgspec

from host.control_plane.client import Answer, ControlClient, ControlError, DaemonNotRunning
from host.control_plane.messages import ProjectsResponse, ProjectStatus
from host.core.home import HostPaths, prepare_home
from host.core.instance_lock import InstanceLock
from host.db.database import Database
from host.projects.naming import shown_path
from host.projects.registry import ProjectRegistry

T = TypeVar("T")


class Refused(ControlError):
    """The daemon said no; the message is its own."""


class Projects:
    """Each call asks the daemon, or works under its lock if there is none. Raises what either raises."""

    def __init__(self, paths: HostPaths, control: ControlClient) -> None:
        self._paths = paths
        self._control = control

    def all(self) -> list[ProjectStatus]:
        async def offline(registry: ProjectRegistry) -> list[ProjectStatus]:
            fs_seqs = await registry.fs_seqs()
            return [ProjectStatus.of(project, fs_seqs) for project in registry.all()]

        answer = self._ask("GET", "/projects")
        if answer is None:
            return self._offline(offline)
        return msgspec.json.decode(answer.body, type=ProjectsResponse).projects

    def add(self, path: Path, name: str | None, *, force: bool) -> ProjectStatus:
        async def offline(registry: ProjectRegistry) -> ProjectStatus:
            return ProjectStatus.of(await registry.add(path, name, force=force), await registry.fs_seqs())

        answer = self._ask("POST", "/projects", {"path": os.fspath(path), "name": name, "force": force})
        if answer is None:
            return self._offline(offline)
        return msgspec.json.decode(answer.body, type=ProjectStatus)

    def remove(self, project_id: str) -> None:
        async def offline(registry: ProjectRegistry) -> None:
            await registry.remove(project_id)

        if self._ask("DELETE", f"/projects/{quote(project_id, safe='')}") is None:
            self._offline(offline)

    def _ask(self, method: str, path: str, body: dict[str, Any] | None = None) -> Answer | None:
        """The daemon's answer; None when no daemon runs."""
        try:
            return checked(self._control.request(method, path, body))
        except DaemonNotRunning:
            return None

    def _offline(self, work: Callable[[ProjectRegistry], Awaitable[T]]) -> T:
        async def run() -> T:
            database = await Database.open(self._paths.database)
            try:
                return await work(await ProjectRegistry.load(database))
            finally:
                await database.close()

        prepare_home(self._paths)
        lock = InstanceLock.acquire(self._paths.pid_file)
        try:
            return asyncio.run(run())
        finally:
            lock.release()


def checked(answer: Answer) -> Answer:
    """The answer, unless the daemon refused: raises Refused with its words."""
    if answer.status >= 400:
        raise Refused(msgspec.json.decode(answer.body)["error"]["message"])
    return answer


def find_project(projects: list[ProjectStatus], reference: str) -> ProjectStatus:
    """By id, by path, or by name. Raises Refused when there is none, or several have the name."""
    path = shown_path(Path(reference).expanduser().resolve())
    for matches in (
        [project for project in projects if project.project_id == reference],
        [project for project in projects if project.path in (reference, path)],
        [project for project in projects if project.name == reference],
    ):
        if len(matches) == 1:
            return matches[0]
        if matches:
            ids = ", ".join(project.project_id for project in matches)
            raise Refused(f"Several projects are called {reference}. Name one by its id: {ids}")
    raise Refused(f"There is no project {reference}. List them with: pocketcoder projects")
