"""git_commit, as the user's own git does it: with their identity, their hooks and nobody to ask."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.support.git_changing import Asker, asking, refused
from tests.support.git_remotes import Checkout, user_home


@pytest.fixture
def repository(tmp_path: Path) -> Checkout:
    repository = Checkout.init(tmp_path / "repository", user_home(tmp_path))
    repository.commit("a", "one\n", message="First")
    return repository


@pytest.fixture
async def phone(repository: Checkout) -> AsyncIterator[Asker]:
    async with asking(repository) as asker:
        yield asker


async def test_what_is_staged_is_committed_with_the_message_as_it_is(repository: Checkout, phone: Asker) -> None:
    repository.write("a", "two\n")
    repository.git("add", "a")
    repository.write("b", "not staged\n")
    message = "Grüße 🎉\n\n# not a comment\n'quoted' \"$HOME\" `x`\n--amend"
    made = await phone.commit(message)
    assert (made.sha, made.branch, made.summary) == (repository.git("rev-parse", "HEAD"), "main", "Grüße 🎉")
    assert repository.git("log", "-1", "--format=%B") == message + "\n"
    assert repository.git("log", "-1", "--format=%an <%ae>") == "Ada <ada@example.com>"
    assert repository.status() == ["?? b"]


async def test_the_first_commit_of_a_repository(tmp_path: Path) -> None:
    fresh = Checkout.init(tmp_path / "fresh", user_home(tmp_path))
    fresh.write("a")
    async with asking(fresh) as phone:
        with refused("CONFLICT", "unborn"):
            await phone.branch_create("too-early")
        await phone.stage("a")
        made = await phone.commit("First")
    assert (made.branch, made.summary) == ("main", "First")


async def test_amending_replaces_the_last_commit(repository: Checkout, phone: Asker) -> None:
    repository.write("a", "two\n")
    repository.git("add", "a")
    made = await phone.commit("Better", amend=True)
    assert made.summary == "Better"
    assert repository.git("log", "--format=%s") == "Better"
    assert repository.git("show", "HEAD:a") == "two"
    # A new message alone will do.
    assert (await phone.commit("Best", amend=True)).summary == "Best"


async def test_there_is_nothing_to_amend_before_the_first_commit(tmp_path: Path) -> None:
    fresh = Checkout.init(tmp_path / "fresh", user_home(tmp_path))
    async with asking(fresh) as phone:
        with refused("GIT_FAILED") as raised:
            await phone.commit("x", amend=True)
    assert "nothing to amend" in raised.value.details["stderr"]


@pytest.mark.parametrize("untracked", [False, True])
@pytest.mark.parametrize("unstaged", [False, True])
async def test_without_anything_staged_git_says_so(
    repository: Checkout, phone: Asker, *, untracked: bool, unstaged: bool
) -> None:
    if untracked:
        repository.write("new")
    if unstaged:
        repository.write("a", "changed")
    with refused("GIT_FAILED", "nothingStaged") as raised:
        await phone.commit("Nothing")
    assert raised.value.is_outcome
    assert raised.value.details["exitCode"] == 1
    assert "commit" in raised.value.details["stderr"]
    assert "Nothing is staged" in raised.value.message


@pytest.mark.parametrize("message", [" ", "\n\n", "a\0b"])
async def test_a_message_that_git_would_not_take_is_refused(phone: Asker, message: str) -> None:
    with refused("INVALID_REQUEST"):
        await phone.commit(message)


async def test_a_hook_that_refuses_is_heard(repository: Checkout, phone: Asker) -> None:
    repository.hook("pre-commit", "echo 'no tabs, please'; echo 'line 3' >&2; exit 7")
    repository.write("b")
    repository.git("add", "b")
    with refused("GIT_FAILED") as raised:
        await phone.commit("Refused")
    assert "no tabs, please\nline 3\n" in raised.value.details["stderr"]
    assert repository.git("log", "--format=%s") == "First"
    assert repository.status() == ["A  b"]


async def test_hooks_are_looked_for_where_the_user_has_them(repository: Checkout, phone: Asker, tmp_path: Path) -> None:
    elsewhere = tmp_path / "hooks"
    elsewhere.mkdir()
    hook = elsewhere / "commit-msg"
    hook.write_text('#!/bin/sh\necho "Changed: $(cat "$1")" > "$1"\n')
    hook.chmod(0o755)
    repository.git("config", "core.hooksPath", str(elsewhere))
    repository.write("b")
    repository.git("add", "b")
    assert (await phone.commit("x")).summary == "Changed: x"


async def test_a_hook_has_patterns_of_its_own_and_an_empty_input(repository: Checkout, phone: Asker) -> None:
    repository.hook("pre-commit", "cat; git add '*.txt'")
    repository.write("b")
    repository.write("c.txt")
    repository.git("add", "b")
    await phone.commit("With a hook that stages")
    assert repository.status() == []


async def test_no_editor_is_opened_whoever_wants_one(repository: Checkout, phone: Asker, tmp_path: Path) -> None:
    marker = tmp_path / "editor-was-opened"
    repository.git("config", "core.editor", f"touch '{marker}' && false")
    repository.git("config", "commit.verbose", "true")
    repository.hook("post-commit", "[ -e .git/done ] || { touch .git/done; git commit --amend; }")
    repository.write("b")
    repository.git("add", "b")
    await phone.commit("x")
    assert not marker.exists()
    repository.attempt("commit", "--amend")
    assert marker.exists(), "The user's own git would have opened it."


async def test_without_an_identity_it_says_how_to_set_one(repository: Checkout, phone: Asker) -> None:
    (repository.home / ".gitconfig").write_text("[user]\n\tuseConfigOnly = true\n")
    repository.write("b")
    repository.git("add", "b")
    with refused("GIT_FAILED", "identity") as raised:
        await phone.commit("x")
    assert "git config --global user.email" in raised.value.message


async def test_a_signature_that_cannot_be_made_is_told(repository: Checkout, phone: Asker, tmp_path: Path) -> None:
    program = tmp_path / "gpg"
    program.write_text("#!/bin/sh\necho 'no pinentry' >&2\nexit 2\n")
    program.chmod(0o755)
    repository.git("config", "--global", "gpg.program", str(program))
    repository.git("config", "--global", "commit.gpgSign", "true")
    repository.write("b")
    repository.git("add", "b")
    with refused("GIT_FAILED", "signing") as raised:
        await phone.commit("x")
    assert raised.value.details["exitCode"] == 128


async def test_in_the_middle_of_a_conflict_nothing_is_committed_and_after_it_the_merge_is(
    repository: Checkout, phone: Asker
) -> None:
    repository.git("switch", "-q", "-c", "other")
    repository.commit("a", "theirs\n")
    repository.git("switch", "-q", "main")
    repository.commit("a", "ours\n")
    repository.attempt("merge", "other")
    with refused("CONFLICT", "unmerged") as raised:
        await phone.commit("Too early")
    assert raised.value.details["paths"] == ["a"]
    repository.write("a", "both\n")
    await phone.stage("a")
    with refused("CONFLICT", "operation"):
        await phone.commit("A merge has nothing to amend", amend=True)
    await phone.commit("Merged")
    assert len(repository.git("log", "-1", "--format=%P").split()) == 2
    assert (await phone.status()).operation is None


async def test_on_a_detached_head_there_is_no_branch(repository: Checkout, phone: Asker) -> None:
    repository.git("switch", "-q", "--detach")
    repository.write("b")
    repository.git("add", "b")
    assert (await phone.commit("x")).branch is None


async def test_a_lock_of_head_is_named(repository: Checkout, phone: Asker) -> None:
    lock = repository.write(".git/HEAD.lock")
    repository.write("b")
    repository.git("add", "b")
    with refused("CONFLICT", "locked") as raised:
        await phone.commit("x")
    assert raised.value.details["file"] == str(lock)


async def test_what_is_done_but_cannot_be_told_any_more_is_unknown_and_remembered(
    repository: Checkout, phone: Asker
) -> None:
    repository.hook("post-commit", "mv .git/HEAD .git/HEAD.away")
    repository.write("b")
    repository.git("add", "b")
    with refused("UNKNOWN_ERROR") as raised:
        await phone.commit("Second")
    assert raised.value.is_outcome
    (repository.path / ".git" / "HEAD.away").rename(repository.path / ".git" / "HEAD")
    assert repository.git("log", "-1", "--format=%s") == "Second"
