"""The projects when no daemon runs: the database itself, under the daemon's lock."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TypeVar

from host.control_plane.client import Refused
from host.control_plane.statuses import ProjectStatus
from host.core.home import HostPaths
from host.core.instance_lock import InstanceLock
from host.db.database import Database
from host.projects.registry import ProjectRegistry
from host.protocol.errors import ProtocolError

T = TypeVar("T")


def all_projects(paths: HostPaths) -> list[ProjectStatus]:
    async def work(registry: ProjectRegistry) -> list[ProjectStatus]:
        fs_seqs = await registry.fs_seqs()
        return [ProjectStatus.of(project, fs_seqs) for project in registry.all()]

    return _with_registry(paths, work)


def add_project(paths: HostPaths, path: Path, name: str | None, *, force: bool) -> ProjectStatus:
    async def work(registry: ProjectRegistry) -> ProjectStatus:
        return ProjectStatus.of(await registry.add(path, name, force=force), await registry.fs_seqs())

    return _with_registry(paths, work)


def remove_project(paths: HostPaths, project_id: str) -> None:
    async def work(registry: ProjectRegistry) -> None:
        await registry.remove(project_id)

    _with_registry(paths, work)


def _with_registry(paths: HostPaths, work: Callable[[ProjectRegistry], Awaitable[T]]) -> T:
    """The home is prepared. Raises AlreadyRunning, DatabaseError, and Refused for what the registry refuses."""

    async def run() -> T:
        database = await Database.open(paths.database)
        try:
            return await work(await ProjectRegistry.load(database))
        finally:
            await database.close()

    lock = InstanceLock.acquire(paths.pid_file)
    try:
        return asyncio.run(run())
    except ProtocolError as exc:
        raise Refused(exc.message) from exc
    finally:
        lock.release()
