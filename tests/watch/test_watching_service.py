"""From what watches tell to numbered batches, project by project."""

import asyncio
import logging
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from host.db.database import Database
from host.db.errors import DatabaseFull
from host.db.projects import Project
from host.projects.registry import ProjectRegistry
from host.protocol.messages.base import Event
from host.protocol.messages.watching import FsChange, FsChanged, GitChanged
from host.watch import project_watch as module
from host.watch.port import Change, WatchState
from host.watch.service import Watching, WatchStatus
from tests.support.host import WAIT_S, eventually
from tests.watch.told_watcher import ToldWatch, ToldWatcher, created


@dataclass
class Relay:
    """Where events go; ``is_up`` is the link's state. Those of ``bad_project`` can't be made."""

    is_up: bool = True
    bad_project: str = ""
    events: "asyncio.Queue[tuple[str, Event, float]]" = field(default_factory=asyncio.Queue)

    def publish(self, project_id: str, event: Event) -> bool:
        if project_id == self.bad_project:
            raise ValueError
        if self.is_up:
            self.events.put_nowait((project_id, event, time.monotonic()))
        return self.is_up

    async def next(self) -> Event:
        async with asyncio.timeout(WAIT_S):
            return (await self.events.get())[1]

    async def next_batch(self) -> FsChanged:
        event = await self.next()
        assert isinstance(event, FsChanged)
        return event


@dataclass
class Host:
    """A daemon's watching, from its start to its end."""

    database: Database
    directory: Path
    relay: Relay
    watcher: ToldWatcher = field(default_factory=ToldWatcher)
    changes: list[int] = field(default_factory=list)

    async def start(self) -> None:
        self.registry = await ProjectRegistry.load(self.database)
        self.watching = Watching(self.watcher, self.registry, self.database, self.relay.publish)
        self.watching.on_change(lambda: self.changes.append(1))
        await self.watching.settle()
        self._running = asyncio.create_task(self.watching.run())

    async def stop(self) -> None:
        before = len(asyncio.all_tasks())
        self._running.cancel()
        await asyncio.wait({self._running})
        assert self._running.cancelled()
        assert self.watcher.is_closed
        assert len(asyncio.all_tasks()) < before
        await self.registry.close()

    async def add(self, name: str = "app") -> Project:
        root = self.directory / name
        root.mkdir()
        return await self.registry.add(root)

    async def watch_of(self, project: Project) -> ToldWatch:
        """Its watch, as soon as it is asked for."""
        await eventually(lambda: project.path in self.watcher.watches)
        return self.watcher.watches[project.path]

    async def add_watched(self, name: str = "app") -> tuple[Project, ToldWatch]:
        project = await self.add(name)
        watch = await self.watch_of(project)
        watch.run()
        return project, watch


@pytest.fixture
async def database(tmp_path: Path) -> AsyncIterator[Database]:
    opened = await Database.open(tmp_path / "daemon.db")
    yield opened
    await opened.close()


@pytest.fixture
def relay() -> Relay:
    return Relay()


@pytest.fixture
async def host(database: Database, tmp_path: Path, relay: Relay) -> AsyncIterator[Host]:
    host = Host(database, tmp_path, relay)
    await host.start()
    yield host
    await host.stop()


async def test_a_burst_is_one_batch_250_ms_after_its_last_change(host: Host, relay: Relay) -> None:
    project, watch = await host.add_watched()
    for name in ("b", "a"):
        watch.see(Change("create", name, is_dir=False))
        last_s = time.monotonic()
        await asyncio.sleep(0.02)
    async with asyncio.timeout(WAIT_S):
        project_id, event, at_s = await relay.events.get()
    assert project_id == project.project_id
    assert event == FsChanged(seq=2, changes=[FsChange("create", "a"), FsChange("create", "b")])
    assert at_s - last_s >= 0.25
    assert relay.events.empty()


async def test_batches_are_numbered_without_a_gap(host: Host, relay: Relay) -> None:
    project, watch = await host.add_watched()
    first = host.watching.seq_for_listing(project.project_id)
    for number in range(1, 4):
        watch.see(*created(f"file-{number}"))
        assert (await relay.next_batch()).seq == first + number
    assert host.watching.seq_for_listing(project.project_id) == first + 3
    assert host.watching.status_of(project.project_id) == WatchStatus(is_running=True, last_seq=first + 3)


async def test_a_burst_that_leaves_nothing_is_no_batch_and_has_no_number(host: Host, relay: Relay) -> None:
    project, watch = await host.add_watched()
    before = host.watching.seq_for_listing(project.project_id)
    watch.see(Change("create", "x", is_dir=False), Change("delete", "x", is_dir=False))
    await asyncio.sleep(0.3)
    watch.see(*created("y"))
    assert await relay.next_batch() == FsChanged(seq=before + 1, changes=[FsChange("create", "y")])


async def test_what_is_sent_while_the_link_is_down_is_a_gap(host: Host, relay: Relay) -> None:
    project, watch = await host.add_watched()
    seen = host.watching.seq_for_listing(project.project_id)
    relay.is_up = False
    watch.see(*created("missed"))
    await eventually(lambda: host.watching.status_of(project.project_id).last_seq == seen + 1)
    relay.is_up = True
    watch.see(*created("seen"))
    assert (await relay.next_batch()).seq == seen + 2


async def test_when_the_watch_begins_nothing_is_told_but_a_number_is_left_out(host: Host, relay: Relay) -> None:
    project = await host.add()
    watch = await host.watch_of(project)
    before = host.watching.status_of(project.project_id)
    assert not before.is_running
    watch.run()
    after = host.watching.status_of(project.project_id)
    assert (after.is_running, after.last_seq) == (True, before.last_seq + 1)
    watch.see(*created("a"))
    assert await relay.next_batch() == FsChanged(seq=after.last_seq + 1, changes=[FsChange("create", "a")])


async def test_who_listed_before_the_watch_began_is_told_to_list_again(host: Host, relay: Relay) -> None:
    project = await host.add()
    watch = await host.watch_of(project)
    listed = host.watching.seq_for_listing(project.project_id)
    watch.run()
    batch = await relay.next_batch()
    assert (batch.changes, batch.changes_truncated) == ([], True)
    assert batch.seq > listed + 1


async def test_a_watch_that_lost_events_says_so_and_leaves_a_gap(host: Host, relay: Relay) -> None:
    project, watch = await host.add_watched()
    seen = host.watching.status_of(project.project_id).last_seq
    watch.see(*created("a"))
    watch.lose()
    watch.see(*created("b"))
    batch = await relay.next_batch()
    assert (batch.changes, batch.changes_truncated) == ([], True)
    assert batch.seq > seen + 1
    watch.see(*created("c"))
    assert await relay.next_batch() == FsChanged(seq=batch.seq + 1, changes=[FsChange("create", "c")])


async def test_a_root_that_was_gone_and_is_back_is_told_with_a_gap(host: Host, relay: Relay) -> None:
    project, watch = await host.add_watched()
    watch.become(WatchState(is_running=False, problem="It is gone."))
    watch.lose()
    gone = await relay.next_batch()
    assert not host.watching.status_of(project.project_id).is_running
    watch.run()
    back = await relay.next_batch()
    assert (back.changes, back.changes_truncated) == ([], True)
    assert back.seq > gone.seq + 1


async def test_more_than_500_changes_are_cut_and_it_is_said(host: Host, relay: Relay) -> None:
    _, watch = await host.add_watched()
    for start in range(0, 3_000, 500):
        watch.see(*created(*(f"{number:04}" for number in range(start, start + 500))))
    batch = await relay.next_batch()
    assert (len(batch.changes), batch.changes_truncated) == (500, True)


@pytest.mark.slow
async def test_git_does_not_hold_back_files_nor_files_git(host: Host, relay: Relay) -> None:
    _, watch = await host.add_watched()
    watch.see_git()
    watch.see(*created("a"))
    assert {type(await relay.next()), type(await relay.next())} == {FsChanged, GitChanged}
    watch.see_git()
    watch.see(*created("b"))
    # Git's second is not over.
    assert isinstance(await relay.next(), FsChanged)
    assert isinstance(await relay.next(), GitChanged)


async def test_after_a_restart_no_number_comes_again_and_clients_see_a_gap(host: Host, relay: Relay) -> None:
    project, watch = await host.add_watched()
    watch.see(*created("a"))
    seen = (await relay.next_batch()).seq
    await host.stop()
    host.watcher = ToldWatcher()
    await host.start()
    listed = host.watching.status_of(project.project_id).last_seq
    assert listed >= seen
    watch = await host.watch_of(project)
    watch.run()
    listed = host.watching.status_of(project.project_id).last_seq
    assert listed > seen
    watch.see(*created("b"))
    assert (await relay.next_batch()).seq == listed + 1


async def test_projects_come_and_go(host: Host, relay: Relay) -> None:
    first, first_watch = await host.add_watched("first")
    second, second_watch = await host.add_watched("second")
    await host.registry.remove(first.project_id)
    await eventually(lambda: first_watch.is_stopped)
    assert host.watching.status_of(first.project_id) == WatchStatus(is_running=False, last_seq=0)
    assert host.watching.seq_for_listing(first.project_id) == 0
    second_watch.see(*created("a"))
    assert (await relay.events.get())[0] == second.project_id
    third = await host.registry.add(first.path)
    assert third.project_id != first.project_id
    await eventually(lambda: not host.watcher.watches[first.path].is_stopped)


async def test_what_was_seen_of_a_project_that_is_removed_is_not_told(host: Host, relay: Relay) -> None:
    first, first_watch = await host.add_watched("first")
    _, second_watch = await host.add_watched("second")
    first_watch.see(*created("a"))
    await host.registry.remove(first.project_id)
    second_watch.see(*created("b"))
    assert [change.path for change in (await relay.next_batch()).changes] == ["b"]


async def test_a_project_without_a_watch_says_why_and_is_tried_for_by_the_watch(host: Host, relay: Relay) -> None:
    sentence = "The limit of watches is reached. Raise it."
    for number in range(7):
        _, watch = await host.add_watched(f"app-{number}")
        watch.become(WatchState(is_running=False, problem=sentence))
    assert host.watching.warnings == (f"app-0, app-1, app-2, app-3, app-4 and 2 more: {sentence}",)
    watch.become(WatchState(is_running=True))
    assert host.watching.warnings == (f"app-0, app-1, app-2, app-3, app-4 and 1 more: {sentence}",)


async def test_it_is_told_when_a_watch_begins_or_ends_and_not_for_each_batch(host: Host, relay: Relay) -> None:
    _, watch = await host.add_watched()
    assert len(host.changes) == 1
    watch.see(*created("a"))
    await relay.next_batch()
    assert len(host.changes) == 1
    watch.become(WatchState(is_running=False, problem="It is gone."))
    assert len(host.changes) == 2


async def test_one_projects_trouble_does_not_touch_another(
    host: Host, relay: Relay, caplog: pytest.LogCaptureFixture
) -> None:
    _, good = await host.add_watched("good")
    project, bad = await host.add_watched("bad")
    relay.bad_project = project.project_id
    with caplog.at_level(logging.CRITICAL, logger="host.core.tasks"):
        bad.see(*created("a"))
        good.see(*created("b"))
        assert [change.path for change in (await relay.next_batch()).changes] == ["b"]
    relay.bad_project = ""
    bad.see(*created("c"))
    assert [change.path for change in (await relay.next_batch()).changes] == ["c"]


async def test_while_numbers_cannot_be_stored_changes_wait_and_the_state_says_why(
    host: Host, relay: Relay, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_STORE_AGAIN_S", 0.05)
    write = host.database.write

    async def refused(job: Any) -> Any:
        if getattr(job, "func", None) is not None and job.func.__name__ == "set_last_fs_seq":
            raise DatabaseFull(Path("daemon.db"))
        return await write(job)

    monkeypatch.setattr(host.database, "write", refused)
    project = await host.add()
    await eventually(lambda: bool(host.watching.warnings))
    (warning,) = host.watching.warnings
    assert warning.startswith("app: ")
    assert "the disk is full" in warning
    assert not host.watcher.watches
    monkeypatch.setattr(host.database, "write", write)
    watch = await host.watch_of(project)
    assert host.watching.warnings == ()
    watch.run()
    watch.see(*created("a"))
    assert (await relay.next_batch()).changes == [FsChange("create", "a")]


async def test_an_idle_host_has_no_task_for_its_projects(host: Host, relay: Relay) -> None:
    before = len(asyncio.all_tasks())
    watches = [(await host.add_watched(f"app-{number}"))[1] for number in range(5)]
    for watch in watches:
        watch.see(*created("a"))
        watch.see_git()
    for _ in range(10):
        await relay.next()
    await eventually(lambda: len(asyncio.all_tasks()) == before)


async def test_nothing_is_watched_any_more_at_the_end(host: Host, relay: Relay) -> None:
    _, watch = await host.add_watched()
    watch.see(*created("a"))
    await host.stop()
    assert watch.is_stopped
    # What is added now, while the daemon stops, is not watched.
    await host.add("late")
    await asyncio.sleep(0)
    assert len(host.watcher.watches) == 1
    assert relay.events.empty()
    host.watcher = ToldWatcher()
    await host.start()
