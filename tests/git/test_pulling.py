"""git_pull, as the user's git is configured to."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.support.git_changing import Asker, asking, refused
from tests.support.git_remotes import Checkout, bare_remote, clone, user_home

pytestmark = pytest.mark.slow


@dataclass(frozen=True)
class Two:
    """Two clones of one remote, on main: ours, and the one of somebody else."""

    ours: Checkout
    theirs: Checkout

    def they_push(self, name: str, content: str) -> str:
        oid = self.theirs.commit(name, content, message="Theirs")
        self.theirs.git("push", "-q")
        return oid


@pytest.fixture
def two(tmp_path: Path) -> Two:
    remote = bare_remote(tmp_path / "remote.git", user_home(tmp_path))
    theirs = clone(remote, tmp_path / "theirs")
    theirs.commit("f", "first\n", message="First")
    theirs.git("push", "-q", "-u", "origin", "main")
    return Two(clone(remote, tmp_path / "ours"), theirs)


@pytest.fixture
async def phone(two: Two) -> AsyncIterator[Asker]:
    async with asking(two.ours) as asker:
        yield asker


async def test_what_is_new_is_fast_forwarded_to(two: Two, phone: Asker) -> None:
    oid = two.they_push("f", "second\n")
    pulled = await phone.pull()
    assert (pulled.branch, pulled.oid, pulled.ahead, pulled.behind) == ("main", oid, 0, 0)
    assert (two.ours.path / "f").read_text() == "second\n"
    assert phone.progress


async def test_branches_that_diverged_need_to_be_told_how(two: Two, phone: Asker) -> None:
    two.they_push("theirs", "x")
    ours = two.ours.commit("ours", "x")
    for setting in (None, "only"):
        if setting:
            two.ours.git("config", "pull.ff", setting)
        with refused("CONFLICT", "diverged") as raised:
            await phone.pull()
        assert "git config pull.rebase" in raised.value.message
    assert two.ours.git("rev-parse", "HEAD") == ours
    assert (await phone.status()).operation is None


@pytest.mark.parametrize(("rebase", "parents"), [("false", 2), ("true", 1), ("merges", 1)])
async def test_they_are_merged_or_rebased_as_configured(two: Two, phone: Asker, rebase: str, parents: int) -> None:
    two.they_push("theirs", "x")
    two.ours.commit("ours", "x", message="Ours")
    two.ours.git("config", "pull.rebase", rebase)
    pulled = await phone.pull()
    assert len(two.ours.git("log", "-1", "--format=%P").split()) == parents
    assert pulled.behind == 0
    assert pulled.ahead == parents


@pytest.mark.parametrize(("rebase", "operation"), [("false", "merge"), ("true", "rebase")])
async def test_a_conflict_is_left_as_git_leaves_it(two: Two, phone: Asker, rebase: str, operation: str) -> None:
    two.they_push("f", "theirs\n")
    two.ours.commit("f", "ours\n", message="Ours")
    two.ours.git("config", "pull.rebase", rebase)
    with refused("CONFLICT", "unmerged") as raised:
        await phone.pull()
    assert raised.value.details["paths"] == ["f"]
    assert raised.value.is_outcome
    status = await phone.status()
    assert (status.operation, status.conflicted) == (operation, ["f"])
    # Pulling once more is refused, and now it is no outcome: nothing happened.
    if operation == "merge":
        with refused("CONFLICT", "unmerged") as raised:
            await phone.pull()
        assert not raised.value.is_outcome
    two.ours.write("f", "both\n")
    await phone.stage("f")
    await phone.commit("Resolved")
    assert (await phone.status()).conflicted == []


async def test_a_merge_that_is_not_concluded_is_a_conflict(two: Two, phone: Asker) -> None:
    two.they_push("f", "theirs\n")
    two.ours.commit("f", "ours\n")
    two.ours.git("config", "pull.rebase", "false")
    with refused("CONFLICT", "unmerged"):
        await phone.pull()
    two.ours.write("f", "both\n")
    await phone.stage("f")
    with refused("CONFLICT", "operation"):
        await phone.pull()


@pytest.mark.parametrize("rebase", ["false", "true"])
async def test_changes_that_would_be_overwritten_are_a_conflict(two: Two, phone: Asker, rebase: str) -> None:
    two.they_push("f", "theirs\n")
    two.ours.git("config", "pull.rebase", rebase)
    two.ours.write("f", "not committed\n")
    with refused("CONFLICT", "localChanges") as raised:
        await phone.pull()
    if rebase == "false":
        assert raised.value.details["paths"] == ["f"]
    assert (two.ours.path / "f").read_text() == "not committed\n"
    two.ours.git("checkout", "-q", "--", "f")
    two.they_push("new", "theirs\n")
    two.ours.write("new", "untracked, and ours\n")
    with refused("CONFLICT", "localChanges") as raised:
        await phone.pull()
    assert raised.value.details["paths"] == ["new"]
    assert (two.ours.path / "new").read_text() == "untracked, and ours\n"


async def test_what_was_put_aside_and_does_not_fit_any_more_is_a_conflict(two: Two, phone: Asker) -> None:
    two.they_push("f", "theirs\n")
    two.ours.git("config", "merge.autoStash", "true")
    two.ours.write("f", "not committed\n")
    # Git itself calls this a success.
    with refused("CONFLICT", "unmerged") as raised:
        await phone.pull()
    assert raised.value.details["paths"] == ["f"]


async def test_without_an_upstream_it_says_what_to_do_and_a_named_remote_gives_the_branch_of_the_same_name(
    two: Two, phone: Asker
) -> None:
    oid = two.they_push("f", "second\n")
    two.ours.git("branch", "--unset-upstream")
    with refused("CONFLICT", "noUpstream"):
        await phone.pull()
    assert (await phone.pull("origin")).oid == oid
    two.ours.git("branch", "--set-upstream-to=origin/main")
    assert (await phone.pull("origin")).oid == oid


async def test_no_editor_is_opened_for_a_merge_or_a_rebase(two: Two, phone: Asker, tmp_path: Path) -> None:
    marker = tmp_path / "opened"
    two.ours.git("config", "core.editor", f"touch '{marker}' && false")
    two.ours.git("config", "sequence.editor", f"touch '{marker}' && false")
    for rebase in ("false", "interactive"):
        two.they_push("theirs", rebase)
        two.ours.commit("ours", rebase)
        two.ours.git("config", "pull.rebase", rebase)
        await phone.pull()
    assert not marker.exists()


async def test_conflicts_outside_the_project_are_not_named(two: Two, phone: Asker) -> None:
    two.they_push("f", "theirs\n")
    two.ours.commit("sub/x", "x")
    two.ours.commit("f", "ours\n")
    two.ours.git("config", "pull.rebase", "false")
    with refused("CONFLICT", "unmerged") as raised:
        await phone.at(two.ours.path / "sub").pull()
    assert raised.value.details["paths"] == []


async def test_files_of_a_project_in_a_directory_are_named_from_there(two: Two, phone: Asker) -> None:
    two.they_push("sub/x", "theirs\n")
    two.ours.commit("sub/x", "ours\n")
    two.ours.git("config", "pull.rebase", "false")
    with refused("CONFLICT", "unmerged") as raised:
        await phone.at(two.ours.path / "sub").pull()
    assert raised.value.details["paths"] == ["x"]


async def test_nothing_is_cleaned_up_in_the_background(two: Two, phone: Asker) -> None:
    two.ours.git("config", "gc.auto", "1")
    two.ours.git("config", "gc.autoPackLimit", "1")
    for number in range(3):
        two.they_push("f", f"{number}\n")
        await phone.pull()
    assert not (two.ours.path / ".git" / "gc.log").exists()
    assert not list((two.ours.path / ".git" / "objects" / "pack").glob("tmp_*"))
