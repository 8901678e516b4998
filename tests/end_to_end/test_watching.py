"""What changes on the machine is told to the phone, and the phone knows when it missed something."""

import asyncio
import itertools
import os
import shutil
import subprocess
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, Final

import psutil  # type: ignore[import-untyped]
import pytest

from relay_stub.client import RelayClient
from tests.end_to_end.following_phone import FollowingPhone, tree_of
from tests.end_to_end.served import Served
from tests.support.processes import Bench, eventually

pytestmark = pytest.mark.slow

GIT_ENVIRONMENT: Final = {
    "PATH": os.environ["PATH"],
    "GIT_CONFIG_GLOBAL": os.devnull,
    "GIT_CONFIG_SYSTEM": os.devnull,
    **{f"GIT_{who}_{what}": "ada@example.org" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")},
}


def git(root: Path, *arguments: str) -> None:
    subprocess.run(["git", "-C", root, *arguments], env=GIT_ENVIRONMENT, check=True, capture_output=True, timeout=60)


def project_of(status: dict[str, Any], project_id: str) -> dict[str, Any]:
    return next(project for project in status["projects"] if project["projectId"] == project_id)


def wait_until_watched(served: Served, project_id: str | None = None, *, is_watched: bool = True) -> dict[str, Any]:
    """The project's part of ``status``."""

    def look() -> dict[str, Any]:
        return project_of(served.machine.status(), project_id or served.project_id)

    eventually(lambda: look()["watcherRunning"] is is_watched, what=f"watcherRunning {is_watched}")
    return look()


async def registered(client: RelayClient, project_id: str) -> dict[str, Any]:
    """The project as the relay knows it."""
    return next(project for project in await client.projects() if project["projectId"] == project_id)


@pytest.fixture
async def phone(served: Served) -> AsyncIterator[FollowingPhone]:
    await asyncio.to_thread(wait_until_watched, served)
    async with FollowingPhone.join(served.relay.url, served.project_id) as phone:
        yield phone


async def test_what_an_editor_does_is_told(served: Served, phone: FollowingPhone) -> None:
    first_seq = phone.seen_seq + 1
    (served.root / "src" / "new.py").write_text("1")
    await phone.until_told("src/new.py")
    event = phone.batches[-1]
    assert event == {"seq": first_seq, "changes": [{"kind": "create", "path": "src/new.py"}]}
    (served.root / "src" / ".new.py.swp").write_text("2")
    os.replace(served.root / "src" / ".new.py.swp", served.root / "src" / "new.py")
    await phone.next_event()
    assert phone.batches[-1] == {"seq": first_seq + 1, "changes": [{"kind": "modify", "path": "src/new.py"}]}
    (served.root / "src" / "new.py").unlink()
    await phone.next_event()
    assert phone.batches[-1] == {"seq": first_seq + 2, "changes": [{"kind": "delete", "path": "src/new.py"}]}
    await phone.settle(served.root)


async def test_what_the_hosts_settings_ignore_is_listed_as_such_and_not_watched(bench: Bench) -> None:
    served = Served(bench)
    served.machine.stop()
    (served.machine.home / "config.toml").write_text('[files]\nignore = ["*.log", "/vendor/"]\n')
    served.machine.start()
    (served.root / "vendor").mkdir()
    await asyncio.to_thread(served.machine.wait_until_connected)
    await asyncio.to_thread(wait_until_watched, served)
    async with FollowingPhone.join(served.relay.url, served.project_id) as phone:
        for name in ("src/a.log", "vendor/b.py", "src/told.py"):
            (served.root / name).touch()
        await phone.until_told("src/told.py")
        assert phone.changes() == [("create", "src/told.py")]
        answer = await phone.client.request("fs_list", {"path": ""}, session_id=served.project_id)
    assert {entry["name"] for entry in answer["children"] if entry.get("ignored")} == {"vendor"}


async def test_only_those_that_joined_are_told_and_all_of_them(served: Served, phone: FollowingPhone) -> None:
    async with (
        FollowingPhone.join(served.relay.url, served.project_id) as joined,
        RelayClient.sign_in(served.relay.url, "ada") as other,
    ):
        # Asking for something doesn't join.
        await other.request("fs_list", {"path": ""}, session_id=served.project_id)
        (served.root / "for-two").touch()
        await phone.until_told("for-two")
        await joined.until_told("for-two")
        assert joined.batches == phone.batches
        await other.request("machines_list")
        assert other.events.empty()


async def test_what_the_phone_writes_is_told_once_and_leaves_no_trace_of_the_writing(
    served: Served, phone: FollowingPhone
) -> None:
    request = {"path": "made/by/phone.txt", "content": "Hello", "createDirs": True}
    await phone.client.request("fs_write", request, session_id=served.project_id)
    await phone.until_told("made/by/phone.txt")
    await phone.settle(served.root)
    assert phone.listings == 1
    told = [path for _, path in phone.changes() if path.startswith("made")]
    assert told == ["made", "made/by", "made/by/phone.txt"]


async def test_the_work_of_an_agent_comes_in_few_whole_batches(served: Served, phone: FollowingPhone) -> None:
    work = served.root / "work"
    for number in range(60):
        package = work / f"package-{number % 6}" / "deep"
        package.mkdir(parents=True, exist_ok=True)
        (package / f"{number}.tmp").write_text("temporary")
        os.replace(package / f"{number}.tmp", package / f"{number}.py")
        if number % 3 == 0:
            (package / f"{number}.py").unlink()
        await asyncio.sleep(0.005)
    shutil.rmtree(work / "package-5")
    os.rename(work / "package-4", work / "renamed")
    await phone.settle(served.root)
    assert phone.listings == 1
    assert len(phone.batches) <= 5


async def test_git_outside_of_us_is_told(served: Served, phone: FollowingPhone) -> None:
    git(served.root, "init", "--initial-branch=main")
    git(served.root, "add", ".")
    git(served.root, "commit", "--message=One")
    await phone.until_git_changes(1)
    await phone.settle(served.root)
    before = phone.git_changes
    git(served.root, "checkout", "-b", "side")
    await phone.until_git_changes(before + 1)
    git(served.root, "add", ".")
    await phone.until_git_changes(before + 2)
    git(served.root, "commit", "--allow-empty", "--message=Two")
    await phone.until_git_changes(before + 3)
    assert not [path for _, path in phone.changes() if path.startswith(".git")]
    await phone.settle(served.root)


async def test_a_switch_of_thousands_of_files_is_a_few_truncated_batches(bench: Bench) -> None:
    served = Served(bench)
    root = served.root
    await asyncio.to_thread(make_two_branches, root)
    await asyncio.to_thread(wait_until_watched, served)
    async with FollowingPhone.join(served.relay.url, served.project_id) as phone:
        await phone.settle(root)
        phone.batches.clear()
        await asyncio.to_thread(git, root, "checkout", "main")
        await phone.settle(root)
        assert len(phone.batches) <= 5
        assert max(len(batch["changes"]) for batch in phone.batches) == 500
        assert any(batch.get("changesTruncated") for batch in phone.batches)
        await phone.until_git_changes(1)


def make_two_branches(root: Path) -> None:
    """``main``, and ``other``, which is checked out: of 3,000 files half have another name, the rest other content."""
    git(root, "init", "--initial-branch=main")
    for branch in ("main", "other"):
        for number in range(3_000):
            directory = root / "many" / f"{number % 100}"
            directory.mkdir(parents=True, exist_ok=True)
            (directory / f"{number}-{branch if number % 2 else 'both'}.txt").write_text(branch)
        git(root, "add", ".")
        git(root, "commit", f"--message={branch}")
        if branch == "main":
            git(root, "checkout", "-b", "other")
            shutil.rmtree(root / "many")


async def test_after_a_restart_there_is_a_gap_and_a_new_listing_goes_on(bench: Bench) -> None:
    served = Served(bench)
    await asyncio.to_thread(wait_until_watched, served)
    async with FollowingPhone.join(served.relay.url, served.project_id) as phone:
        (served.root / "before").touch()
        await phone.until_told("before")
        seen = phone.seen_seq
        await asyncio.to_thread(served.machine.stop)
        (served.root / "meanwhile").touch()
        await asyncio.to_thread(served.machine.start)
        status = await asyncio.to_thread(wait_until_watched, served)
        assert status["lastFsSeq"] > seen
        await asyncio.to_thread(served.machine.wait_until_connected)
        await until_registered(phone.client, served.project_id, status["lastFsSeq"])
        async with FollowingPhone.join(served.relay.url, served.project_id) as fresh:
            (served.root / "after").touch()
            await phone.until_told("after")
            await fresh.until_told("after")
            assert phone.seqs[-1] > seen + 1
            assert phone.listings == 2
            assert fresh.listings == 1
            assert phone.tree == fresh.tree == tree_of(served.root)


async def until_registered(client: RelayClient, project_id: str, seq: int) -> None:
    """Wait until the relay was told that the project is watched, with this number."""
    async with asyncio.timeout(20):
        while True:
            project = await registered(client, project_id)
            if project["connected"] and project["watcherRunning"] and project["lastFsSeq"] == seq:
                return
            await asyncio.sleep(0.05)


async def test_killing_the_daemon_in_a_burst_uses_no_number_twice_and_loses_nothing(bench: Bench) -> None:
    served = Served(bench)
    async with FollowingPhone.join(served.relay.url, served.project_id) as phone:
        for life in range(4):
            await asyncio.to_thread(wait_until_watched, served)
            writing = asyncio.create_task(asyncio.to_thread(write_for_a_second, served.root / f"life-{life}"))
            await phone.next_event()
            last_before = phone.seen_seq
            await asyncio.to_thread(served.machine.kill)
            await writing
            await asyncio.to_thread(served.machine.start)
            await asyncio.to_thread(wait_until_watched, served)
            await asyncio.to_thread(served.machine.wait_until_connected)
            await phone.settle(served.root)
            assert next(seq for seq in phone.seqs if seq > last_before) > last_before + 1
        assert all(earlier < later for earlier, later in itertools.pairwise(phone.seqs))
        assert phone.listings >= 5


def write_for_a_second(directory: Path) -> None:
    directory.mkdir()
    for number in range(100):
        (directory / f"{number}").write_text("x")
        (directory / f"{number // 2}").write_text("y")
        time.sleep(0.01)


async def test_what_changes_while_the_relay_is_away_is_a_gap(bench: Bench) -> None:
    served = Served(bench)
    await asyncio.to_thread(wait_until_watched, served)
    async with FollowingPhone.join(served.relay.url, served.project_id) as phone:
        (served.root / "before").touch()
        await phone.until_told("before")
        seen = phone.seen_seq
    await asyncio.to_thread(served.relay.kill)
    (served.root / "meanwhile").touch()
    eventually(
        lambda: project_of(served.machine.status(), served.project_id)["lastFsSeq"] == seen + 1, what="The batch"
    )
    await asyncio.to_thread(served.relay.start)
    await asyncio.to_thread(served.machine.wait_until_connected)
    async with RelayClient.sign_in(served.relay.url, "ada") as client:
        assert (await registered(client, served.project_id))["lastFsSeq"] == seen + 1
        await client.join(served.project_id)
        phone.client = client
        (served.root / "after").touch()
        await phone.until_told("after")
        assert phone.seqs[-1] == seen + 2
        assert phone.listings == 2
        await phone.settle(served.root)


async def test_projects_that_come_and_go_are_watched_and_not_any_more(bench: Bench) -> None:
    served = Served(bench)
    second_root = bench.project("second")
    second_id = await asyncio.to_thread(served.machine.add, second_root)
    await asyncio.to_thread(wait_until_watched, served, second_id)
    async with (
        FollowingPhone.join(served.relay.url, served.project_id) as first,
        FollowingPhone.join(served.relay.url, second_id) as second,
    ):
        await until_registered(first.client, second_id, second.seen_seq)
        (second_root / "in-second").touch()
        await second.until_told("in-second")
        await asyncio.to_thread(served.machine.succeed, "remove", second_id)
        (second_root / "unseen").touch()
        (served.root / "in-first").touch()
        await first.until_told("in-first")
        assert first.changes() == [("create", "in-first")]
        assert second.changes() == [("create", "in-second")]
        assert [project["projectId"] for project in served.machine.status()["projects"]] == [served.project_id]


async def test_a_project_whose_directory_is_gone_says_so_and_recovers(bench: Bench) -> None:
    served = Served(bench)
    await asyncio.to_thread(wait_until_watched, served)
    async with FollowingPhone.join(served.relay.url, served.project_id) as phone:
        aside = served.root.with_name("aside")
        served.root.rename(aside)
        await asyncio.to_thread(wait_until_watched, served, is_watched=False)
        warnings = served.machine.status()["capabilities"]["warnings"]
        assert [warning for warning in warnings if warning.startswith("project: ")]
        aside.rename(served.root)
        await asyncio.to_thread(wait_until_watched, served)
        assert not served.machine.status()["capabilities"]["warnings"]
        phone.listings = 0
        await phone.settle(served.root)
        (served.root / "again").touch()
        await phone.until_told("again")


async def test_an_idle_daemon_does_nothing_for_its_projects(bench: Bench) -> None:
    served = Served(bench)
    await asyncio.to_thread(wait_until_watched, served)
    await asyncio.sleep(2)
    before = wakeups(served.daemon_pid)
    await asyncio.sleep(3)
    # The link's heartbeat may fall into it.
    assert wakeups(served.daemon_pid) - before <= 10


def wakeups(pid: int) -> int:
    """How often a thread of the process went to sleep."""
    threads = psutil.Process(pid).threads()
    return sum(psutil.Process(thread.id).num_ctx_switches().voluntary for thread in threads)
