"""A day's work with git from a phone, through a real relay and daemon."""

import asyncio
import shutil
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import pytest

from relay_stub.client import Message, RelayClient, RequestFailed
from tests.end_to_end.served import Served
from tests.support.git_remotes import Checkout, bare_remote, clone, user_home
from tests.support.processes import Bench, eventually, processes_below

pytestmark = pytest.mark.slow

TIMEOUT_S: Final = 30.0


@dataclass(frozen=True)
class World:
    """A project that is a clone of ``remote``, with one commit, on main; and another clone, of somebody else."""

    served: Served
    project_id: str
    ours: Checkout
    theirs: Checkout
    remote: Checkout


def make_world(served: Served, directory: Path) -> World:
    directory.mkdir()
    home = user_home(directory)
    # The daemon's user is the same one.
    shutil.copy(home / ".gitconfig", served.machine.directory)
    remote = bare_remote(directory / "remote.git", home)
    theirs = clone(remote, directory / "theirs")
    theirs.commit("app.py", "".join(f"line {number}\n" for number in range(40)), message="First")
    theirs.git("push", "-q", "-u", "origin", "main")
    ours = clone(remote, directory / "ours")
    return World(served, served.machine.add(ours.path), ours, theirs, remote)


@pytest.fixture
def world(served: Served, tmp_path: Path) -> World:
    return make_world(served, tmp_path / "world")


@dataclass(frozen=True)
class GitPhone:
    client: RelayClient
    project_id: str

    async def ask(self, wire_type: str, *, request_id: str | None = None, **payload: Any) -> Any:
        async with asyncio.timeout(TIMEOUT_S):
            return await self.client.request(
                wire_type, payload, session_id=self.project_id, request_id=request_id or str(uuid.uuid4())
            )

    async def refusal(self, wire_type: str, *, request_id: str | None = None, **payload: Any) -> tuple[str, Any]:
        """The error's code, and the reason in its details."""
        with pytest.raises(RequestFailed) as refused:
            await self.ask(wire_type, request_id=request_id, **payload)
        return refused.value.error.code, (refused.value.error.details or {}).get("reason")

    def heard(self, wire_type: str) -> list[Message]:
        """The events of this type that came by now."""
        found = []
        while not self.client.events.empty():
            found.append(self.client.events.get_nowait())
        return [event for event in found if event["type"] == wire_type]


@asynccontextmanager
async def phone_on(world: World) -> AsyncIterator[GitPhone]:
    async with RelayClient.sign_in(world.served.relay.url, "ada") as client:
        yield GitPhone(client, world.project_id)


@pytest.fixture
async def phone(world: World) -> AsyncIterator[GitPhone]:
    async with phone_on(world) as phone:
        yield phone


async def test_a_days_work(world: World, phone: GitPhone) -> None:
    status = await phone.ask("git_status")
    assert (status["branch"], status["upstream"], status["ahead"], status["untracked"]) == (
        "main",
        "origin/main",
        0,
        [],
    )
    made = await phone.ask("git_branch_create", name="feature", checkout=True)
    assert made["oid"] == status["oid"]

    # Two files, of which one is committed, then amended.
    await phone.ask("fs_write", path="new.py", content="print('new')\n")
    await phone.ask("fs_write", path="notes.txt", content="for later\n")
    await phone.ask("git_stage", paths=["new.py"])
    diff = await phone.ask("git_diff", staged=True)
    assert [(file["path"], file["status"]) for file in diff["files"]] == [("new.py", "added")]
    commit = await phone.ask("git_commit", message="Add new.py")
    assert (commit["branch"], commit["summary"]) == ("feature", "Add new.py")
    await phone.ask("fs_write", path="new.py", content="print('newer')\n")
    assert (await phone.ask("git_file_base", path="new.py"))["content"] == "print('new')\n"
    await phone.ask("git_stage", paths=["new.py"])
    amended = await phone.ask("git_commit", message="Add new.py, better", amend=True)
    log = (await phone.ask("git_log"))["commits"]
    assert [entry["subject"] for entry in log] == ["Add new.py, better", "First"]
    assert (await phone.ask("git_status"))["untracked"] == ["notes.txt"]

    # It is published, merged by somebody else, and pulled.
    assert await phone.refusal("git_push") == ("CONFLICT", "noUpstream")
    assert (await phone.ask("git_push", setUpstream=True)) == {"remote": "origin", "branch": "feature", "success": True}
    assert world.remote.git("rev-parse", "feature") == amended["sha"]
    world.theirs.git("fetch", "-q")
    world.theirs.git("merge", "-q", "origin/feature")
    world.theirs.git("push", "-q")
    assert (await phone.ask("git_checkout", ref="main"))["branch"] == "main"
    assert (await phone.ask("git_fetch"))["behind"] == 1
    assert (await phone.ask("git_pull"))["oid"] == amended["sha"]
    branches = (await phone.ask("git_branches"))["branches"]
    assert {"main", "feature", "origin/main", "origin/feature"} <= {branch["name"] for branch in branches}

    await phone.ask("git_discard", paths=[""])
    assert (await phone.ask("git_status"))["untracked"] == []


async def test_a_pull_with_a_conflict_is_resolved_and_pushed(world: World, phone: GitPhone) -> None:
    world.ours.git("config", "pull.rebase", "false")
    world.theirs.commit("app.py", "theirs\n")
    world.theirs.git("push", "-q")
    await phone.ask("fs_write", path="app.py", content="ours\n")
    await phone.ask("git_stage", paths=["app.py"])
    await phone.ask("git_commit", message="Ours")
    assert await phone.refusal("git_push") == ("CONFLICT", "nonFastForward")
    assert await phone.refusal("git_pull", request_id="pull-1") == ("CONFLICT", "unmerged")
    status = await phone.ask("git_status")
    assert (status["operation"], status["conflicted"]) == ("merge", ["app.py"])
    # The same request once more is answered as before, and not carried out again.
    assert await phone.refusal("git_pull", request_id="pull-1") == ("CONFLICT", "unmerged")
    assert "<<<<<<<" in (await phone.ask("fs_read", path="app.py"))["content"]
    await phone.ask("fs_write", path="app.py", content="both\n")
    await phone.ask("git_stage", paths=["app.py"])
    await phone.ask("git_commit", message="Merge")
    await phone.ask("git_push")
    status = await phone.ask("git_status")
    assert (status["operation"], status["ahead"], status["behind"]) == (None, 0, 0)


async def test_the_same_commit_sent_again_is_made_once(world: World, phone: GitPhone) -> None:
    await phone.ask("fs_write", path="a", content="a")
    await phone.ask("git_stage", paths=["a"])
    first, *others = await asyncio.gather(
        *(phone.ask("git_commit", message="Once", request_id="commit-1") for _ in range(3))
    )
    assert all(other == first for other in others)
    assert (await phone.ask("git_commit", message="Once", request_id="commit-1")) == first
    assert [entry["subject"] for entry in (await phone.ask("git_log"))["commits"]] == ["Once", "First"]


async def test_many_changes_at_once_all_come_through(world: World, phone: GitPhone) -> None:
    names = [f"file-{number}" for number in range(20)]
    for name in names:
        (world.ours.path / name).write_text(name)
    await asyncio.gather(
        *(phone.ask("git_stage", paths=[name]) for name in names), *(phone.ask("git_status") for _ in names)
    )
    assert {change["path"] for change in (await phone.ask("git_status"))["staged"]} == set(names)


async def test_only_the_asker_hears_how_far_a_push_is(world: World, phone: GitPhone) -> None:
    async with phone_on(world) as other:
        await other.client.join(world.project_id)
        await phone.client.join(world.project_id)
        world.ours.commit("app.py", "changed\n")
        await phone.ask("git_push", request_id="push-1")
        # What was sent before these answers has come with them.
        await asyncio.gather(phone.ask("git_status"), other.ask("git_status"))
        progress = phone.heard("git_progress")
        assert progress
        assert {event["sessionId"] for event in progress} == {world.project_id}
        assert {event["payload"]["requestId"] for event in progress} == {"push-1"}
        assert "Writing objects" in "\n".join(event["payload"]["text"] for event in progress)
        assert other.heard("git_progress") == []


async def test_a_project_without_a_repository_says_so(served: Served, tmp_path: Path) -> None:
    plain = tmp_path / "plain"
    plain.mkdir()
    project_id = served.machine.add(plain)
    async with RelayClient.sign_in(served.relay.url, "ada") as client:
        phone = GitPhone(client, project_id)
        assert (await phone.refusal("git_status"))[0] == "GIT_NOT_INITIALIZED"
        assert (await phone.refusal("git_commit", message="x"))[0] == "GIT_NOT_INITIALIZED"
        assert (await phone.refusal("git_stage", paths=["../x"]))[0] == "OUTSIDE_PROJECT_ROOT"
        assert (await phone.refusal("git_stage", paths=[]))[0] == "INVALID_REQUEST"


async def test_killing_the_daemon_ends_a_push_and_its_outcome_is_unknown(bench: Bench, tmp_path: Path) -> None:
    world = make_world(Served(bench), tmp_path / "world")
    marker = tmp_path / "runs"
    world.ours.hook("pre-push", f"(setsid sleep 60 &); touch '{marker}'; sleep 60")
    world.ours.commit("app.py", "changed\n")
    machine = world.served.machine
    async with phone_on(world) as phone:
        pushing = asyncio.create_task(phone.ask("git_push", request_id="push-1"))
        await asyncio.to_thread(eventually, marker.exists, TIMEOUT_S, what="The hook's start")
        # Reads don't wait for it.
        assert (await phone.ask("git_status"))["ahead"] == 1
        await asyncio.to_thread(machine.kill)
        await asyncio.to_thread(
            eventually, lambda: not processes_below(machine.directory), TIMEOUT_S, what="The end of all processes"
        )
        with pytest.raises(RequestFailed):
            await pushing
        (world.ours.path / ".git" / "hooks" / "pre-push").unlink()
        await asyncio.to_thread(machine.start)
        await asyncio.to_thread(machine.wait_until_connected)
        assert (await phone.refusal("git_push", request_id="push-1"))[0] == "UNKNOWN_ERROR"
        await phone.ask("git_push", request_id="push-2")
    assert world.remote.git("rev-parse", "main") == world.ours.git("rev-parse", "main")
