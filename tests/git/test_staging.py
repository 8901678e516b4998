"""git_stage and git_unstage, judged by the user's own git."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.support.git_changing import Asker, asking, refused
from tests.support.git_remotes import Checkout, user_home


@pytest.fixture
def repository(tmp_path: Path) -> Checkout:
    """One commit, in which there are a, b and d/c."""
    repository = Checkout.init(tmp_path / "repository", user_home(tmp_path))
    for name in ("a", "b", "d/c"):
        repository.write(name, f"{name}\n" * 10)
    repository.git("add", ".")
    repository.git("commit", "-q", "-m", "First")
    return repository


@pytest.fixture
async def phone(repository: Checkout) -> AsyncIterator[Asker]:
    async with asking(repository) as asker:
        yield asker


async def test_changed_new_and_deleted_files_are_staged_and_others_are_not(repository: Checkout, phone: Asker) -> None:
    repository.write("a", "changed")
    repository.write("d/new", "new")
    (repository.path / "d" / "c").unlink()
    repository.write("b", "changed, too")
    await phone.stage("a", "d")
    assert repository.status() == ["M  a", " M b", "D  d/c", "A  d/new"]


async def test_the_root_stages_everything(repository: Checkout, phone: Asker) -> None:
    repository.write("a", "changed")
    repository.write("new", "new")
    await phone.stage("")
    assert repository.status() == ["M  a", "A  new"]


async def test_both_sides_of_a_rename_are_staged_as_one_and_taken_back_as_one(
    repository: Checkout, phone: Asker
) -> None:
    (repository.path / "a").rename(repository.path / "z")
    await phone.stage("a", "z")
    assert repository.status() == ["R  a -> z"]
    await phone.unstage("z")
    assert repository.status() == [" D a", "?? z"]


async def test_a_file_that_became_a_directory_and_the_reverse_are_staged(repository: Checkout, phone: Asker) -> None:
    (repository.path / "a").unlink()
    repository.write("a/inner", "in a directory")
    (repository.path / "d" / "c").unlink()
    (repository.path / "d").rmdir()
    repository.write("d", "a file")
    await phone.stage("a", "d/c", "d")
    assert repository.status() == ["D  a", "A  a/inner", "A  d", "D  d/c"]


async def test_a_link_in_a_files_place_is_staged_as_a_link(repository: Checkout, phone: Asker) -> None:
    (repository.path / "a").unlink()
    (repository.path / "a").symlink_to("/outside")
    await phone.stage("a")
    assert repository.status() == ["T  a"]


async def test_paths_are_no_patterns(repository: Checkout, phone: Asker) -> None:
    for name in ("*", "[ab]", ":(glob)**", ":!a", "-A", "x\ny", 'q"q', "a b"):
        repository.write(name, "odd")
        repository.write("a", name)
        await phone.stage(name)
        assert " M a" in repository.status()
        assert len([line for line in repository.status() if line.startswith("A ")]) == 1
        await phone.unstage(name)
        (repository.path / name).unlink()


async def test_a_name_that_is_not_utf8_is_staged_by_what_a_listing_shows(repository: Checkout, phone: Asker) -> None:
    name = repository.path / "caf\udce9"
    name.write_text("odd")
    assert (await phone.status()).untracked == ["caf%E9"]
    await phone.stage("caf%E9")
    assert [change.path for change in (await phone.status()).staged] == ["caf%E9"]
    repository.git("commit", "-q", "-m", "Odd")
    name.unlink()
    # Of a deleted file nothing is on the disk any more that could say which one is meant.
    await phone.stage("caf%E9")
    assert [change.status for change in (await phone.status()).staged] == ["deleted"]


async def test_what_is_ignored_is_refused_and_nothing_else_is_staged(repository: Checkout, phone: Asker) -> None:
    repository.commit(".gitignore", "*.log\n")
    repository.write("x.log")
    repository.write("a", "changed")
    with refused("INVALID_REQUEST") as raised:
        await phone.stage("a", "x.log")
    assert "x.log is ignored" in raised.value.message
    with refused("INVALID_REQUEST"):
        await phone.stage("x.log")
    assert repository.status() == [" M a"]


async def test_what_nobody_knows_is_not_found_and_nothing_else_is_staged(repository: Checkout, phone: Asker) -> None:
    repository.write("a", "changed")
    with refused("FILE_NOT_FOUND") as raised:
        await phone.stage("a", "nowhere/x")
    assert raised.value.details == {"path": "nowhere/x"}
    assert repository.status() == [" M a"]


@pytest.mark.parametrize("path", ["../x", "/etc/passwd", "d/../../x", "out/x"])
async def test_what_leads_out_of_the_project_is_refused(repository: Checkout, phone: Asker, path: str) -> None:
    (repository.path / "out").symlink_to("/tmp")
    for asked in (phone.stage, phone.unstage, phone.discard):
        with refused("OUTSIDE_PROJECT_ROOT"):
            await asked(path)


@pytest.mark.parametrize("path", [".git/config", "d/.git", ".GIT/x", "a//b", "./a", "a\0"])
async def test_what_is_no_path_or_lies_in_git_is_refused(phone: Asker, path: str) -> None:
    for asked in (phone.stage, phone.unstage, phone.discard):
        with refused("INVALID_REQUEST"):
            await asked(path)


async def test_a_way_through_a_link_is_refused(repository: Checkout, phone: Asker) -> None:
    (repository.path / "link").symlink_to("d")
    with refused("INVALID_REQUEST") as raised:
        await phone.stage("link/c")
    assert "symbolic link" in raised.value.message


async def test_before_the_first_commit_files_are_staged_and_taken_back(tmp_path: Path) -> None:
    fresh = Checkout.init(tmp_path / "fresh", user_home(tmp_path))
    fresh.write("a", "a")
    fresh.write("b", "b")
    async with asking(fresh) as phone:
        await phone.stage("")
        assert fresh.status() == ["A  a", "A  b"]
        await phone.unstage("a")
        assert fresh.status() == ["A  b", "?? a"]
        await phone.unstage("")
        assert fresh.status() == ["?? a", "?? b"]


async def test_unstaging_leaves_the_files_as_they_are(repository: Checkout, phone: Asker) -> None:
    repository.write("a", "changed")
    (repository.path / "b").unlink()
    repository.write("new", "new")
    repository.git("add", "--all")
    await phone.unstage("a", "b", "new")
    assert repository.status() == [" M a", " D b", "?? new"]
    assert (repository.path / "a").read_text() == "changed"
    # What is not staged can be unstaged as well: it is so already.
    await phone.unstage("a", "d")


async def test_a_project_within_a_larger_repository_stages_only_itself(repository: Checkout, phone: Asker) -> None:
    repository.write("a", "outside")
    repository.write("d/c", "inside")
    repository.write("d/new", "inside")
    inner = phone.at(repository.path / "d")
    await inner.stage("")
    assert repository.status() == [" M a", "M  d/c", "A  d/new"]
    repository.git("add", "a")
    await inner.unstage("")
    assert repository.status() == ["M  a", " M d/c", "?? d/new"]
    await inner.stage("c")
    await inner.discard("new")
    assert repository.status() == ["M  a", "M  d/c"]


async def conflict(repository: Checkout, name: str = "a") -> None:
    repository.git("switch", "-q", "-c", "other")
    repository.commit(name, "theirs\n")
    repository.git("switch", "-q", "main")
    repository.commit(name, "ours\n")
    assert repository.attempt("merge", "other").returncode == 1


async def test_a_conflict_is_staged_as_resolved_but_neither_unstaged_nor_discarded(
    repository: Checkout, phone: Asker
) -> None:
    await conflict(repository)
    for asked in (phone.unstage, phone.discard):
        for path in ("a", ""):
            with refused("CONFLICT", "unmerged") as raised:
                await asked(path)
            assert raised.value.details["paths"] == ["a"]
    assert repository.status() == ["UU a"]
    repository.write("a", "both\n")
    await phone.stage("a")
    assert repository.status() == ["M  a"]
    # Other files can be unstaged in the middle of a merge.
    repository.write("b", "changed")
    repository.git("add", "b")
    await phone.unstage("b")
    assert repository.status() == ["M  a", " M b"]


async def test_a_users_clean_filter_is_applied_as_with_their_own_git(repository: Checkout, phone: Asker) -> None:
    repository.git("config", "filter.upper.clean", "tr a-z A-Z")
    repository.write(".gitattributes", "*.up filter=upper\n")
    repository.write("x.up", "text")
    await phone.stage("x.up")
    assert repository.git("show", ":x.up") == "TEXT"


async def test_a_lock_that_is_there_is_named_and_nothing_is_remembered_of_the_refusal(
    repository: Checkout, phone: Asker
) -> None:
    lock = repository.write(".git/index.lock")
    repository.write("a", "changed")
    with refused("CONFLICT", "locked") as raised:
        await phone.stage("a")
    assert raised.value.details["file"] == str(lock)
    assert "deleted" in raised.value.message
    assert not raised.value.is_outcome
    lock.unlink()
    await phone.stage("a")


async def test_without_a_repository_it_says_so(tmp_path: Path) -> None:
    (tmp_path / "plain").mkdir()
    async with asking(Checkout(tmp_path / "plain", user_home(tmp_path))) as phone:
        with refused("GIT_NOT_INITIALIZED"):
            await phone.stage("")
