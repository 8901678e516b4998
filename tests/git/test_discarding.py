"""git_discard: what was changed and not staged is thrown away, and nothing else."""

import os
import stat
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.support.git_changing import Asker, asking, refused
from tests.support.git_remotes import Checkout, user_home


@pytest.fixture
def repository(tmp_path: Path) -> Checkout:
    """One commit, in which there are a, b, d/c and a .gitignore that ignores *.log."""
    repository = Checkout.init(tmp_path / "repository", user_home(tmp_path))
    for name in ("a", "b", "d/c"):
        repository.write(name, f"{name}\n")
    repository.write(".gitignore", "*.log\n")
    repository.git("add", ".")
    repository.git("commit", "-q", "-m", "First")
    return repository


@pytest.fixture
async def phone(repository: Checkout) -> AsyncIterator[Asker]:
    async with asking(repository) as asker:
        yield asker


def files(repository: Checkout) -> list[str]:
    """All files and directories in the working tree, with a slash behind directories."""
    return sorted(
        f"{found.relative_to(repository.path)}{'/' if found.is_dir() and not found.is_symlink() else ''}"
        for found in repository.path.rglob("*")
        if ".git" not in found.relative_to(repository.path).parts
    )


async def test_tracked_files_become_what_the_index_holds(repository: Checkout, phone: Asker) -> None:
    repository.write("a", "staged\n")
    repository.git("add", "a")
    repository.write("a", "and changed again\n")
    (repository.path / "b").unlink()
    (repository.path / "d" / "c").unlink()
    (repository.path / "d").rmdir()
    await phone.discard("a", "b", "d/c")
    assert (repository.path / "a").read_text() == "staged\n"
    assert repository.status() == ["M  a"]


async def test_untracked_files_are_deleted_and_ignored_ones_stay(repository: Checkout, phone: Asker) -> None:
    for name in ("new", "n/deep/er", "n/deep/x.log", "m/only", "d/also new"):
        repository.write(name, "new")
    await phone.discard("new", "n", "m", "d")
    assert files(repository) == [".gitignore", "a", "b", "d/", "d/c", "n/", "n/deep/", "n/deep/x.log"]


async def test_the_directory_of_a_discarded_file_stays_unless_it_was_discarded(
    repository: Checkout, phone: Asker
) -> None:
    repository.write("n/one")
    await phone.discard("n/one")
    assert (repository.path / "n").is_dir()
    await phone.discard("n")
    assert (repository.path / "n").is_dir(), "Git knows of no empty directory, so there was nothing to discard."


async def test_everything_is_discarded_at_the_root(repository: Checkout, phone: Asker) -> None:
    repository.write("a", "changed")
    repository.write("new/x")
    repository.write("b", "staged")
    repository.git("add", "b")
    await phone.discard("")
    assert repository.status() == ["M  b"]
    assert not (repository.path / "new").exists()


async def test_names_are_no_patterns(repository: Checkout, phone: Asker) -> None:
    for name in ("*", ":(glob)**", "[ab]", "-rf"):
        repository.write(name, "odd")
        repository.write("a", name)
        await phone.discard(name)
        assert not (repository.path / name).exists()
        assert repository.status() == [" M a"]


async def test_a_name_that_is_not_utf8_is_discarded(repository: Checkout, phone: Asker) -> None:
    odd = repository.path / "caf\udce9"
    odd.write_text("odd")
    await phone.discard("caf%E9")
    assert not odd.exists()


async def test_a_file_in_a_directorys_place_and_the_reverse(repository: Checkout, phone: Asker) -> None:
    (repository.path / "a").unlink()
    repository.write("a/inner", "in the way")
    (repository.path / "d" / "c").unlink()
    (repository.path / "d").rmdir()
    repository.write("d", "in the way")
    await phone.discard("a", "d")
    assert repository.status() == []


@pytest.mark.parametrize("is_ignored", [False, True], ids=["untracked", "ignored"])
async def test_what_was_not_discarded_stays_though_it_is_in_the_way(
    is_ignored: bool, repository: Checkout, phone: Asker
) -> None:
    if is_ignored:
        repository.commit(".gitignore", "d\nprecious\n")
    (repository.path / "d" / "c").unlink()
    (repository.path / "d").rmdir()
    repository.write("d", "precious")
    with refused("CONFLICT", "inTheWay"):
        await phone.discard("d/c")
    assert (repository.path / "d").read_text() == "precious"


async def test_an_ignored_file_below_what_comes_back_stays(repository: Checkout, phone: Asker) -> None:
    repository.commit(".gitignore", "precious\n")
    (repository.path / "a").unlink()
    precious = repository.write("a/precious", "precious")
    with refused("CONFLICT", "inTheWay"):
        await phone.discard("a")
    assert precious.read_text() == "precious"


async def test_a_stash_that_status_is_configured_to_show_changes_nothing(repository: Checkout, phone: Asker) -> None:
    repository.git("config", "status.showStash", "true")
    repository.write("a", "stashed")
    repository.git("stash", "--quiet")
    repository.write("a", "changed")
    await phone.discard("a")
    assert repository.status() == []


async def test_a_link_is_deleted_itself_and_its_target_stays(
    repository: Checkout, phone: Asker, tmp_path: Path
) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "kept").write_text("kept")
    (repository.path / "link").symlink_to(outside)
    (repository.path / "a").unlink()
    (repository.path / "a").symlink_to(outside / "kept")
    await phone.discard("link", "a")
    assert repository.status() == []
    assert (outside / "kept").read_text() == "kept"


async def test_what_there_is_nothing_to_discard_of_is_left_or_not_found(repository: Checkout, phone: Asker) -> None:
    await phone.discard("a", "d")
    repository.write("b", "changed")
    with refused("FILE_NOT_FOUND"):
        await phone.discard("b", "nowhere")
    assert repository.status() == [" M b"]


async def test_repositories_within_this_one_stay(repository: Checkout, phone: Asker) -> None:
    inner = Checkout.init(repository.path / "inner", repository.home)
    inner.commit("x", "x")
    repository.git("-c", "protocol.file.allow=always", "submodule", "--quiet", "add", str(inner.path), "sub")
    repository.git("commit", "-q", "-m", "A submodule")
    Checkout(repository.path / "sub", repository.home).commit("x", "further")
    before = repository.status()
    assert before == [" M sub", "?? inner/"]
    await phone.discard("")
    assert repository.status() == before
    for name in ("inner", "sub"):
        with refused("INVALID_REQUEST"):
            await phone.discard(name)
    assert repository.status() == before


async def test_what_is_only_announced_to_git_is_not_thrown_away(repository: Checkout, phone: Asker) -> None:
    repository.write("soon", "content")
    repository.git("add", "-N", "soon")
    with refused("INVALID_REQUEST"):
        await phone.discard("soon")
    assert (repository.path / "soon").read_text() == "content"


async def test_a_files_mode_is_discarded_too(repository: Checkout, phone: Asker) -> None:
    (repository.path / "a").chmod(0o755)
    await phone.discard("a")
    assert not (repository.path / "a").stat().st_mode & stat.S_IXUSR


@pytest.mark.skipif(os.geteuid() == 0, reason="root may delete everything")
async def test_what_could_not_be_deleted_is_told(repository: Checkout, phone: Asker) -> None:
    repository.write("n1")
    locked = repository.write("n2/x").parent
    locked.chmod(0o500)
    try:
        with refused("UNKNOWN_ERROR", "permissionDenied") as raised:
            await phone.discard("")
    finally:
        locked.chmod(0o700)
    assert raised.value.is_outcome
    assert repository.status() == ["?? n2/x"]
