"""Projects are registered once, by real path, and never one inside another."""

import asyncio
import itertools
import os
import sqlite3
from pathlib import Path

import pytest

from host.core.clock import rfc3339
from host.db.database import Database
from host.db.projects import set_last_fs_seq
from host.projects import registry as module
from host.projects.naming import shown_path
from host.projects.registry import ProjectRegistry, new_project_id
from host.protocol.errors import FileNotFound, InvalidRequest, ProjectNesting, ProjectNotFound


class FakeClock:
    def __init__(self) -> None:
        self.now_s = 1_760_000_000.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
async def registry(database: Database, clock: FakeClock) -> ProjectRegistry:
    numbers = itertools.count()
    return await ProjectRegistry.load(database, clock=clock, new_id=lambda: f"proj_{next(numbers):016}")


@pytest.fixture
def work(tmp_path: Path) -> Path:
    directory = tmp_path / "work"
    (directory / "shop" / "web").mkdir(parents=True)
    (directory / "shopping").mkdir()
    (directory / "file.txt").write_text("no directory")
    return directory


def test_an_id_is_proj_and_sixteen_characters_and_never_the_same() -> None:
    ids = {new_project_id() for _ in range(100)}
    assert len(ids) == 100
    assert all(len(project_id) == len("proj_") + 16 and project_id.isascii() for project_id in ids)


async def test_a_directory_becomes_a_project_named_after_it(registry: ProjectRegistry, work: Path) -> None:
    project = await registry.add(work / "shop")
    assert project.project_id == "proj_0000000000000000"
    assert (project.name, project.path) == ("shop", work / "shop")
    assert project.created_at == project.last_opened_at == "2025-10-09T08:53:20.000Z"
    assert registry.all() == [project]


async def test_projects_survive_a_restart(registry: ProjectRegistry, database: Database, work: Path) -> None:
    project = await registry.add(work / "shop", "The shop")
    again = await ProjectRegistry.load(database)
    assert again.all() == [project]
    assert await again.root_of(project.project_id) == work / "shop"


async def test_adding_it_again_by_whatever_way_gives_the_same_project(registry: ProjectRegistry, work: Path) -> None:
    (work / "link").symlink_to("shop")
    project = await registry.add(work / "link")
    assert project.path == work / "shop"
    assert await registry.add(work / "shop", "another name") == project
    assert await registry.add(work / "shop" / "web" / "..") == project
    assert len(registry.all()) == 1


async def test_of_concurrent_adds_one_makes_the_project(registry: ProjectRegistry, work: Path) -> None:
    projects = await asyncio.gather(*(registry.add(work / "shop") for _ in range(10)))
    assert len({project.project_id for project in projects}) == 1


async def test_one_inside_or_around_another_is_refused_and_the_other_is_named(
    registry: ProjectRegistry, work: Path
) -> None:
    shop = await registry.add(work / "shop")
    with pytest.raises(ProjectNesting, match=r"web lies inside the project shop") as inside:
        await registry.add(work / "shop" / "web")
    assert inside.value.details == {"projectId": shop.project_id}
    with pytest.raises(ProjectNesting, match=r"work lies around the project shop"):
        await registry.add(work)
    assert (await registry.add(work / "shopping")).name == "shopping"


async def test_what_cannot_be_a_project_is_refused(registry: ProjectRegistry, work: Path) -> None:
    with pytest.raises(FileNotFound, match="does not exist"):
        await registry.add(work / "missing")
    with pytest.raises(FileNotFound):
        await registry.add(work / "file.txt" / "below")
    for path in (work / "file.txt", Path("relative"), Path("/nul\0"), Path("/\ud800")):
        with pytest.raises(InvalidRequest):
            await registry.add(path)
    assert registry.all() == []


@pytest.mark.parametrize("name", ["", "  ", "x" * 101, "line\nbreak", "turned\u202eround", "\ud800"])
async def test_a_name_is_1_to_100_printable_characters(registry: ProjectRegistry, work: Path, name: str) -> None:
    with pytest.raises(InvalidRequest, match="printable"):
        await registry.add(work / "shop", name)


async def test_a_directory_whose_name_is_not_utf_8_can_be_registered_and_shown(
    registry: ProjectRegistry, database: Database, work: Path
) -> None:
    directory = work / os.fsdecode(b"\xe9t\xe9")
    directory.mkdir()
    project = await registry.add(directory)
    assert project.name == "%E9t%E9"
    assert shown_path(project.path).endswith("/%E9t%E9")
    again = await ProjectRegistry.load(database)
    assert (await again.root_of(project.project_id)).is_dir()


async def test_there_is_a_most_of_projects(
    registry: ProjectRegistry, work: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MAX_PROJECTS", 1)
    shop = await registry.add(work / "shop")
    with pytest.raises(InvalidRequest, match="Remove one first"):
        await registry.add(work / "shopping")
    assert await registry.add(work / "shop") == shop


async def test_a_removed_project_is_gone_and_its_directory_is_not(
    registry: ProjectRegistry, database: Database, work: Path
) -> None:
    project = await registry.add(work / "shop")
    await database.write(lambda connection: set_last_fs_seq(connection, project.project_id, 7))
    assert await registry.remove(project.project_id) == project
    for lost in (registry.remove, registry.root_of):
        with pytest.raises(ProjectNotFound):
            await lost(project.project_id)
    assert (work / "shop").is_dir()
    states = await database.read(lambda connection: connection.execute("SELECT count(*) FROM fs_state").fetchone()[0])
    assert states == 0
    assert (await registry.add(work / "shop")).project_id != project.project_id


async def test_a_project_whose_directory_is_gone_is_still_found_and_can_be_removed(
    registry: ProjectRegistry, work: Path
) -> None:
    project = await registry.add(work / "shopping")
    (work / "shopping").rmdir()
    assert registry.all() == [project]
    assert await registry.remove(project.project_id) == project


async def test_all_are_ordered_by_name(registry: ProjectRegistry, work: Path) -> None:
    for name, directory in (("Zebra", "shop"), ("apple", "shopping")):
        await registry.add(work / directory, name)
    assert [project.name for project in registry.all()] == ["apple", "Zebra"]


async def test_using_a_project_notes_when_it_was_opened_once_a_minute(
    registry: ProjectRegistry, database: Database, work: Path, clock: FakeClock
) -> None:
    project = await registry.add(work / "shop")
    opened = []
    for seconds in (10, 59, 1):
        clock.now_s += seconds
        await registry.root_of(project.project_id)
        opened.append(registry.all()[0].last_opened_at)
    first, later = rfc3339(clock.now_s - 60), rfc3339(clock.now_s)
    assert opened == [first, first, later]
    await registry.close()
    assert [item.last_opened_at for item in (await ProjectRegistry.load(database)).all()] == [later]


async def test_listeners_hear_of_each_change_once_it_can_be_seen(registry: ProjectRegistry, work: Path) -> None:
    seen: list[int] = []
    registry.on_change(lambda: seen.append(len(registry._projects)))
    project = await registry.add(work / "shop")
    await registry.add(work / "shop")
    await registry.root_of(project.project_id)
    await registry.remove(project.project_id)
    await registry.reload()
    assert seen == [1, 0, 0]
    await registry.close()


async def test_reload_takes_what_the_database_holds(registry: ProjectRegistry, database: Database, work: Path) -> None:
    await registry.add(work / "shop")
    await database.write(lambda connection: connection.execute("UPDATE projects SET name = 'renamed'"))
    await registry.reload()
    assert registry.all()[0].name == "renamed"


async def test_a_cancelled_add_is_whole_in_memory_and_on_disk(
    registry: ProjectRegistry, database: Database, work: Path
) -> None:
    adding = asyncio.create_task(registry.add(work / "shop"))
    cancelled_in_the_write = asyncio.Event()

    def cancel(sql: str) -> None:
        if "INSERT INTO projects" in sql:
            adding.get_loop().call_soon_threadsafe(adding.cancel)
            adding.get_loop().call_soon_threadsafe(cancelled_in_the_write.set)

    database._connection.set_trace_callback(cancel)
    with pytest.raises(asyncio.CancelledError):
        await adding
    assert cancelled_in_the_write.is_set()
    database._connection.set_trace_callback(None)
    assert len(registry.all()) == 1
    assert (await ProjectRegistry.load(database)).all() == registry.all()
    await registry.add(work / "shop")


async def test_the_last_change_number_never_falls_and_none_is_kept_of_what_is_no_project(
    registry: ProjectRegistry, database: Database, work: Path
) -> None:
    project = await registry.add(work / "shop")
    assert await registry.fs_seqs() == {}

    def store(connection: sqlite3.Connection) -> None:
        for seq in (64, 10):
            set_last_fs_seq(connection, project.project_id, seq)
        set_last_fs_seq(connection, "proj_0000000000000000", 7)

    await database.write(store)
    assert await registry.fs_seqs() == {project.project_id: 64}
