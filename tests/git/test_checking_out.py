"""git_branch_create and git_checkout."""

import itertools
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.support.git_changing import Asker, asking, refused
from tests.support.git_remotes import Checkout, bare_remote, clone, user_home

pytestmark = pytest.mark.slow

BAD_NAMES = ["-f", "--force", "a..b", "a b", "HEAD", "a.lock", "a~1", "@{-1}", "a:b", "/a", "a/", "a\0", "a\nb", "@"]
BAD_NAMES += ["refs/heads/a"]
BAD_REFS = ["-", "--", "-f", "--detach", "nowhere", "main..other", "main:a", ":/First", "@{-1", "a\0b", "^main"]


@pytest.fixture
def repository(tmp_path: Path) -> Checkout:
    """On main, with a second branch ``other`` on which the file f.txt differs."""
    repository = Checkout.init(tmp_path / "repository", user_home(tmp_path))
    repository.commit("f.txt", "main\n", message="First")
    repository.git("switch", "-q", "-c", "other")
    repository.commit("f.txt", "other\n", message="Second")
    repository.git("switch", "-q", "main")
    return repository


@pytest.fixture
async def phone(repository: Checkout) -> AsyncIterator[Asker]:
    async with asking(repository) as asker:
        yield asker


@pytest.fixture
def with_remote(repository: Checkout, tmp_path: Path) -> Checkout:
    """The same, with a remote ``origin`` that has the branches main and topic."""
    remote = bare_remote(tmp_path / "remote.git", repository.home)
    repository.git("remote", "add", "origin", str(remote.path))
    repository.git("push", "-q", "origin", "main", "other:topic")
    return repository


async def test_a_branch_is_made_where_we_are_and_not_checked_out(repository: Checkout, phone: Asker) -> None:
    made = await phone.branch_create("feature/one")
    assert (made.name, made.oid) == ("feature/one", repository.git("rev-parse", "main"))
    assert repository.branch() == "main"


@pytest.mark.parametrize("start", ["other", "HEAD", "main~0", "refs/heads/other"])
async def test_a_branch_is_made_at_a_start_and_checked_out(repository: Checkout, phone: Asker, start: str) -> None:
    made = await phone.branch_create("new", start_point=start, checkout=True)
    assert made.oid == repository.git("rev-parse", start)
    assert repository.branch() == "new"
    assert repository.status() == []


@pytest.mark.parametrize("checkout", [False, True])
async def test_a_branch_that_exists_is_a_conflict(repository: Checkout, phone: Asker, *, checkout: bool) -> None:
    for name in ("other", "other/below"):
        with refused("CONFLICT", "branchExists"):
            await phone.branch_create(name, checkout=checkout)
    assert repository.branch() == "main"


async def test_a_name_that_no_branch_can_have_is_refused(repository: Checkout, phone: Asker) -> None:
    before = repository.git("for-each-ref")
    for name, checkout in itertools.product(BAD_NAMES, (False, True)):
        with refused("INVALID_REQUEST"):
            await phone.branch_create(name, checkout=checkout)
    assert repository.git("for-each-ref") == before


async def test_a_ref_that_names_no_commit_is_refused(repository: Checkout, phone: Asker) -> None:
    for ref in BAD_REFS:
        with refused("INVALID_REQUEST"):
            await phone.checkout(ref)
        with refused("INVALID_REQUEST"):
            await phone.branch_create("new", start_point=ref)
    assert repository.git("for-each-ref", "--format=%(refname:short)") == "main\nother"


@pytest.mark.parametrize("ref", ["other", "refs/heads/other"])
async def test_a_local_branch_is_checked_out(repository: Checkout, phone: Asker, ref: str) -> None:
    done = await phone.checkout(ref)
    assert (done.branch, done.oid) == ("other", repository.git("rev-parse", "other"))
    assert (repository.path / "f.txt").read_text() == "other\n"
    assert repository.branch() == "other"


async def test_a_commit_or_tag_is_checked_out_detached(repository: Checkout, phone: Asker) -> None:
    oid = repository.git("rev-parse", "other")
    repository.git("tag", "-a", "-m", "x", "v1", "other")
    for ref in (oid, oid[:8], "v1", "refs/tags/v1", "other~0"):
        done = await phone.checkout(ref)
        assert (done.branch, done.oid) == (None, oid)
        repository.git("switch", "-q", "main")
    assert (await phone.checkout("HEAD")).branch == "main"


async def test_a_file_of_the_same_name_is_never_reverted(repository: Checkout, phone: Asker) -> None:
    repository.write("f.txt", "my work")
    with refused("INVALID_REQUEST"):
        await phone.checkout("f.txt")
    assert (repository.path / "f.txt").read_text() == "my work"
    # Nor is it where a branch has that name.
    repository.git("branch", "f.txt")
    assert (await phone.checkout("f.txt")).branch == "f.txt"
    assert (repository.path / "f.txt").read_text() == "my work"
    repository.git("checkout", "-q", "--", "f.txt")


async def test_a_branch_wins_over_a_tag_of_its_name(repository: Checkout, phone: Asker) -> None:
    repository.git("tag", "other", "main")
    assert (await phone.checkout("other")).oid == repository.git("rev-parse", "refs/heads/other")


async def test_changes_that_would_be_lost_are_a_conflict_that_names_them(repository: Checkout, phone: Asker) -> None:
    repository.git("switch", "-q", "other")
    repository.commit("sub/new.txt", "other\n")
    repository.git("switch", "-q", "main")
    repository.write("f.txt", "my work")
    with refused("CONFLICT", "localChanges") as raised:
        await phone.checkout("other")
    assert raised.value.details["paths"] == ["f.txt"]
    with refused("CONFLICT", "localChanges"):
        await phone.branch_create("new", start_point="other", checkout=True)
    assert repository.attempt("rev-parse", "--verify", "new").returncode != 0
    repository.git("checkout", "-q", "--", "f.txt")
    repository.write("sub/new.txt", "mine, and untracked")
    with refused("CONFLICT", "localChanges") as raised:
        await phone.checkout("other")
    assert raised.value.details["paths"] == ["sub/new.txt"]
    # To a project in a directory of the repository the names are its own.
    with refused("CONFLICT", "localChanges") as raised:
        await phone.at(repository.path / "sub").checkout("other")
    assert raised.value.details["paths"] == ["new.txt"]
    assert repository.branch() == "main"


async def test_changes_that_fit_are_carried_over(repository: Checkout, phone: Asker) -> None:
    repository.write("new", "carried")
    await phone.checkout("other")
    assert repository.status() == ["?? new"]


async def test_in_the_middle_of_a_merge_no_branch_is_left(repository: Checkout, phone: Asker) -> None:
    repository.commit("f.txt", "main, too\n")
    repository.attempt("merge", "other")
    with refused("CONFLICT", "operation"):
        await phone.checkout("other")
    with refused("CONFLICT", "operation"):
        await phone.branch_create("new", checkout=True)
    repository.write("f.txt", "both")
    repository.git("add", "f.txt")
    # Git's own checkout would go, and forget the merge.
    with refused("CONFLICT", "operation"):
        await phone.checkout("other")
    assert (await phone.status()).operation == "merge"


@pytest.mark.parametrize("ref", ["origin/topic", "refs/remotes/origin/topic", "topic"])
async def test_a_remotes_branch_is_checked_out_as_a_local_one_that_follows_it(
    with_remote: Checkout, phone: Asker, ref: str
) -> None:
    for _ in range(2):
        done = await phone.checkout(ref)
        assert (done.branch, done.oid) == ("topic", with_remote.git("rev-parse", "other"))
        assert with_remote.git("rev-parse", "--abbrev-ref", "topic@{upstream}") == "origin/topic"
        with_remote.git("switch", "-q", "main")


async def test_a_local_branch_that_follows_another_is_not_taken_for_the_remotes(
    with_remote: Checkout, phone: Asker
) -> None:
    with_remote.git("branch", "topic", "main")
    with refused("CONFLICT", "branchExists"):
        await phone.checkout("origin/topic")
    assert (await phone.checkout("topic")).oid == with_remote.git("rev-parse", "main")


async def test_a_branch_below_its_name_is_not_taken_for_it(with_remote: Checkout, phone: Asker) -> None:
    with_remote.git("branch", "topic/below")
    with refused("CONFLICT", "branchExists"):
        await phone.checkout("topic")


async def test_before_the_first_commit_a_remotes_branch_is_checked_out(with_remote: Checkout, tmp_path: Path) -> None:
    fresh = Checkout.init(tmp_path / "fresh", with_remote.home)
    fresh.git("remote", "add", "origin", with_remote.git("remote", "get-url", "origin"))
    async with asking(fresh) as phone:
        await phone.fetch()
        assert (await phone.checkout("topic")).branch == "topic"


async def test_a_branch_that_several_remotes_have_must_be_named_in_full(with_remote: Checkout, phone: Asker) -> None:
    url = with_remote.git("remote", "get-url", "origin")
    with_remote.git("remote", "add", "fork/me", url)
    with_remote.git("fetch", "-q", "fork/me")
    with refused("INVALID_REQUEST") as raised:
        await phone.checkout("topic")
    assert "origin/topic" in raised.value.message
    await phone.checkout("fork/me/topic")
    assert with_remote.git("rev-parse", "--abbrev-ref", "topic@{upstream}") == "fork/me/topic"


async def test_a_branch_made_from_a_remotes_follows_it_as_with_the_users_git(
    with_remote: Checkout, phone: Asker
) -> None:
    await phone.branch_create("mine", start_point="origin/topic")
    assert with_remote.git("rev-parse", "--abbrev-ref", "mine@{upstream}") == "origin/topic"


async def test_a_branch_of_another_working_tree_is_a_conflict(
    repository: Checkout, phone: Asker, tmp_path: Path
) -> None:
    repository.git("worktree", "add", "-q", str(tmp_path / "second"), "other")
    with refused("CONFLICT", "otherWorktree"):
        await phone.checkout("other")


async def test_a_hook_runs_after_the_checkout(repository: Checkout, phone: Asker) -> None:
    repository.hook("post-checkout", 'echo "$3" > hooked')
    await phone.checkout("other")
    assert (repository.path / "hooked").read_text() == "1\n"


async def test_a_clone_has_the_remotes_head_and_no_branch_of_that_name_is_made(
    with_remote: Checkout, tmp_path: Path
) -> None:
    remote = Checkout(Path(with_remote.git("remote", "get-url", "origin")), with_remote.home)
    copy = clone(remote, tmp_path / "copy")
    async with asking(copy) as phone:
        assert (await phone.checkout("origin/HEAD")).branch is None
    assert copy.git("for-each-ref", "--format=%(refname)", "refs/heads") == "refs/heads/main"
