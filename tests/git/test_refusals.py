"""What git says, also in other versions and in places that tests can't bring about, and what it means."""

import pytest

from host.git.finished import Finished
from host.git.refusals import refusal


def meaning(stderr: str, *, stdout: str = "", prefix: bytes = b"") -> tuple[str, object]:
    error = refusal(Finished("pull", 128, stdout.encode(), stderr.encode()), prefix=prefix, unmerged=[b"sub/x", b"y"])
    return error.code.value, error.details.get("reason")


@pytest.mark.parametrize(
    ("stderr", "reason"),
    [
        ("error: could not lock config file .git/config: File exists\nerror: unable to write upstream", "locked"),
        ("fatal: cannot lock ref 'HEAD': Unable to create '/r/.git/HEAD.lock': File exists.\n", "locked"),
        ("fatal: 'other' is already used by worktree at '/second'\n", "otherWorktree"),
        ("fatal: 'other' is already checked out at '/second'\n", "otherWorktree"),
        ("fatal: cannot switch branch while cherry-picking\n", "operation"),
        ("fatal: You have not concluded your merge (MERGE_HEAD exists).\n", "operation"),
        ("error: cannot pull with rebase: Your index contains uncommitted changes.\n", "localChanges"),
        ("fatal: a branch named 'x' already exists\n", "branchExists"),
        ("fatal: Not possible to fast-forward, aborting.\n", "diverged"),
        ("error: Merging is not possible because you have unmerged files.\n", "unmerged"),
    ],
)
def test_a_conflict(stderr: str, reason: str) -> None:
    assert meaning(stderr) == ("CONFLICT", reason)


@pytest.mark.parametrize(
    ("stderr", "reason"),
    [
        ("git@example.com: Permission denied (publickey,password).\nfatal: Could not read from remote", "credentials"),
        ("Host key verification failed.\nfatal: Could not read from remote repository.\n", "hostKey"),
        ("fatal: unable to access 'https://x/': Could not resolve host: x\n", "unreachable"),
        ("ssh: connect to host x port 22: Connection refused\nfatal: Could not read from", "unreachable"),
        ("remote: Repository not found.\nfatal: repository 'https://x/y/' not found\n", "noRemoteRepository"),
        ("Your configuration specifies to merge\nfrom the remote, but no such ref was fetched.\n", "upstreamGone"),
        ("fatal: something that nobody has seen before\n", None),
    ],
)
def test_a_failure(stderr: str, reason: str | None) -> None:
    assert meaning(stderr) == ("GIT_FAILED", reason)


@pytest.mark.parametrize(
    "said",
    [
        "remote: error: 'refs/heads/x' exists; cannot create\n",
        "lint: You have unstaged changes\n",
        "see https://example.com/fatal: cannot switch branch while merging\n",
    ],
)
def test_what_hooks_and_remotes_say_is_not_taken_for_gits_words(said: str) -> None:
    assert meaning(said) == ("GIT_FAILED", None)


def test_a_push_is_refused_by_what_it_prints_for_programs() -> None:
    rejected = "!\trefs/heads/main:refs/heads/main\t[rejected] ({})\nDone\n"
    assert meaning("", stdout=rejected.format("fetch first")) == ("CONFLICT", "nonFastForward")
    assert meaning("", stdout=rejected.format("stale info")) == ("CONFLICT", "staleLease")
    by_remote = "!\trefs/heads/main:refs/heads/main\t[remote rejected] (pre-receive hook declined)\n"
    assert meaning("", stdout=by_remote) == ("GIT_FAILED", None)


def test_only_files_of_the_project_are_named() -> None:
    stderr = (
        b"error: Your local changes to the following files would be overwritten by merge:\n\tsub/a\n\tb\nPlease\n\tc"
    )
    finished = Finished("pull", 1, b"", stderr)
    assert refusal(finished, prefix=b"sub/", unmerged=[]).details["paths"] == ["a"]
    assert refusal(finished, prefix=b"", unmerged=[]).details["paths"] == ["sub/a", "b"]
    conflict = Finished("commit", 128, b"", b"error: Committing is not possible because you have unmerged files.\n")
    assert refusal(conflict, prefix=b"sub/", unmerged=[b"sub/x", b"y"]).details["paths"] == ["x"]


def test_passwords_are_taken_out_before_the_end_is_cut_off() -> None:
    url = "https://ada:" + "s3cret" * 1000 + "@example.com"
    error = refusal(Finished("fetch", 128, b"", f"fatal: no route to {url}".encode()), prefix=b"", unmerged=[])
    assert "s3cret" not in str(error.details)
    long = Finished("push", 1, b"", ("€" * 5000).encode())
    assert len(refusal(long, prefix=b"", unmerged=[]).details["stderr"].encode()) <= 4096
