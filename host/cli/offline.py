"""The projects, and the machine's key, when no daemon runs: the database itself, under the daemon's lock."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import TypeVar

from host.auth.token_store import TokenStore
from host.control_plane.client import Refused
from host.control_plane.statuses import ProjectStatus
from host.core.home import HostPaths
from host.core.instance_lock import InstanceLock
from host.db.database import Database
from host.db.projects import Project
from host.projects.identity import machine_key
from host.projects.registry import ProjectRegistry
from host.protocol.errors import ProtocolError

T = TypeVar("T")


def all_projects(paths: HostPaths) -> list[ProjectStatus]:
    async def work(registry: ProjectRegistry) -> list[ProjectStatus]:
        fs_seqs = await registry.fs_seqs()
        return [_unwatched(project, fs_seqs) for project in registry.all()]

    return _with_registry(paths, work)


def add_project(paths: HostPaths, path: Path, name: str | None, *, force: bool) -> ProjectStatus:
    async def work(registry: ProjectRegistry) -> ProjectStatus:
        return _unwatched(await registry.add(path, name, force=force), await registry.fs_seqs())

    return _with_registry(paths, work)


def remove_project(paths: HostPaths, project_id: str) -> None:
    async def work(registry: ProjectRegistry) -> None:
        await registry.remove(project_id)

    _with_registry(paths, work)


def find_machine_key(paths: HostPaths) -> str:
    async def work(database: Database) -> str:
        return await machine_key(TokenStore(paths.auth_file), database)

    return _with_database(paths, work)


def _unwatched(project: Project, fs_seqs: Mapping[str, int]) -> ProjectStatus:
    return ProjectStatus.of(project, watcher_running=False, last_fs_seq=fs_seqs.get(project.project_id, 0))


def _with_registry(paths: HostPaths, work: Callable[[ProjectRegistry], Awaitable[T]]) -> T:
    """Raises Refused for what the registry refuses, and what ``_with_database`` raises."""

    async def on_registry(database: Database) -> T:
        return await work(await ProjectRegistry.load(database))

    try:
        return _with_database(paths, on_registry)
    except ProtocolError as exc:
        raise Refused(exc.message) from exc


def _with_database(paths: HostPaths, work: Callable[[Database], Awaitable[T]]) -> T:
    """The home is prepared. Raises AlreadyRunning, or a DatabaseError."""

    async def run() -> T:
        database = await Database.open(paths.database)
        try:
            return await work(database)
        finally:
            await database.close()

    lock = InstanceLock.acquire(paths.pid_file)
    try:
        return asyncio.run(run())
    finally:
        lock.release()
