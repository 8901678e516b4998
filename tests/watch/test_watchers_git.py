"""That a repository's HEAD, index and refs changed, seen by every watcher."""

import subprocess
from pathlib import Path

import pytest

from host.watch.port import Watcher
from tests.support.watching import Recorder, watched

pytestmark = pytest.mark.usefixtures("nothing_is_left")


def git(directory: Path, *arguments: str) -> None:
    identity = ["-c", "user.name=A", "-c", "user.email=a@example.org", "-c", "commit.gpgsign=false"]
    subprocess.run(["git", *identity, *arguments], cwd=directory, check=True, capture_output=True)


@pytest.fixture
def repository(root: Path) -> Path:
    git(root, "init", "-q", "-b", "main")
    (root / "file").write_text("text")
    git(root, "add", "file")
    git(root, "commit", "-qm", "first")
    return root


async def sees(recorder: Recorder) -> None:
    """That the repository changed is told, and it was not before."""
    await recorder.until(lambda: recorder.git_changes > 0)
    await rest(recorder)


async def rest(recorder: Recorder) -> None:
    await recorder.settle()
    await recorder.settle()
    recorder.git_changes = 0


@pytest.mark.parametrize(
    "arguments",
    [
        ("commit", "-q", "--allow-empty", "-m", "second"),
        ("checkout", "-q", "-b", "other"),
        ("branch", "feature/deep/name"),
        ("tag", "v1"),
        ("rm", "-q", "--cached", "file"),
        ("pack-refs", "--all"),
        ("update-ref", "MERGE_HEAD", "HEAD"),
    ],
    ids=lambda arguments: arguments[0],
)
async def test_what_git_does_to_its_state_is_told(
    watcher: Watcher, repository: Path, arguments: tuple[str, ...]
) -> None:
    async with watched(watcher, repository) as recorder:
        await rest(recorder)
        git(repository, *arguments)
        await sees(recorder)


async def test_refs_below_directories_that_are_new_are_seen(watcher: Watcher, repository: Path) -> None:
    async with watched(watcher, repository) as recorder:
        git(repository, "branch", "feature/a/b")
        await sees(recorder)
        git(repository, "branch", "feature/a/c")
        await sees(recorder)
        git(repository, "branch", "-D", "feature/a/c")
        await sees(recorder)


async def test_reading_and_working_tree_changes_are_no_change_of_the_repository(
    watcher: Watcher, repository: Path
) -> None:
    async with watched(watcher, repository) as recorder:
        await rest(recorder)
        subprocess.run(["git", "--no-optional-locks", "status"], cwd=repository, check=True, capture_output=True)
        git(repository, "log")
        (repository / "file").write_text("another")
        (repository / ".git/COMMIT_EDITMSG").write_text("text")
        (repository / ".git/objects/new").write_text("text")
        await recorder.settle()
        await recorder.settle()
        assert recorder.git_changes == 0


async def test_a_repository_that_is_made_later_is_seen(watcher: Watcher, root: Path) -> None:
    async with watched(watcher, root) as recorder:
        git(root, "init", "-q")
        await sees(recorder)
        (root / "file").touch()
        git(root, "add", "file")
        await sees(recorder)


async def test_a_repository_around_the_project_is_seen(watcher: Watcher, repository: Path) -> None:
    project = repository / "sub" / "project"
    project.mkdir(parents=True)
    async with watched(watcher, project) as recorder:
        git(repository, "commit", "-q", "--allow-empty", "-m", "second")
        await sees(recorder)


async def test_of_a_linked_worktree_its_own_state_and_the_common_refs_are_seen(
    watcher: Watcher, repository: Path, tmp_path: Path
) -> None:
    worktree = tmp_path / "worktree"
    git(repository, "worktree", "add", "-q", str(worktree))
    async with watched(watcher, worktree) as recorder:
        (worktree / "new").touch()
        git(worktree, "add", "new")
        await sees(recorder)
        git(repository, "branch", "other")
        await sees(recorder)


async def test_a_submodule_keeps_its_state_elsewhere(watcher: Watcher, repository: Path, tmp_path: Path) -> None:
    outer = tmp_path / "outer"
    outer.mkdir()
    git(outer, "init", "-q")
    git(outer, "-c", "protocol.file.allow=always", "submodule", "add", "-q", str(repository), "inner")
    async with watched(watcher, outer / "inner") as recorder:
        git(outer / "inner", "branch", "other")
        await sees(recorder)


async def test_a_git_file_that_leads_to_no_repository_is_harmless(watcher: Watcher, root: Path) -> None:
    (root / ".git").write_text("gitdir: /\n")
    async with watched(watcher, root) as recorder:
        (root / "file").touch()
        await recorder.settle()
        (root / ".git").write_text("gitdir: /proc/self/fd\n")
        await recorder.settle()
        assert "file" in recorder.tree
