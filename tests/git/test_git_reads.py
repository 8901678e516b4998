"""git_status, git_branches, git_file_base and git_log: what they say of states that are made on purpose."""

import asyncio
import base64
import os
import subprocess
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, Final

import msgspec
import pytest

from host.core.requests import RequestContext, RouteTable
from host.git.handlers import GitReadHandlers
from host.git.parsing.status import parse_status
from host.git.reads import GitReads
from host.git.status import find_operation
from host.protocol.catalog import CATALOG
from host.protocol.errors import FileTooLarge, GitFailed, GitNotInitialized, ProjectRootGone
from host.protocol.limits import MAX_READ_BYTES, MAX_STATUS_PATHS
from host.protocol.messages.base import encode_payload, parse_request
from host.protocol.messages.git import GitDiff
from tests.support.git_reading import reading
from tests.support.git_remotes import Checkout, bare_remote, clone, git_environment, user_home

STAGES: Final = {
    "DD": "1",
    "AU": "2",
    "UD": "12",
    "UA": "3",
    "DU": "13",
    "AA": "23",
    "UU": "123",
}


@pytest.fixture
def checkout(tmp_path: Path) -> Checkout:
    return Checkout.init(tmp_path / "repository", user_home(tmp_path))


@pytest.fixture
async def reads(checkout: Checkout) -> AsyncIterator[GitReads]:
    async with reading(checkout.home) as reads:
        yield reads


async def log(reads: GitReads, checkout: Checkout, **asked: Any) -> Any:
    return await reads.log(checkout.path, **{"ref": None, "path": None, "limit": 50, "skip": 0, **asked})


async def base(reads: GitReads, checkout: Checkout, path: str, ref: str = "HEAD") -> tuple[str, str, bool]:
    answer = await reads.file_base(checkout.path, path, ref)
    return msgspec.json.decode(answer.content), answer.encoding, answer.exists


# Status


@pytest.mark.parametrize(("columns", "stages"), STAGES.items())
async def test_each_kind_of_conflict_is_a_conflict(
    columns: str, stages: str, checkout: Checkout, reads: GitReads
) -> None:
    checkout.commit("other")
    oid = checkout.git("hash-object", "-w", "other")
    entries = "".join(f"100644 {oid} {stage}\tfile\n" for stage in stages)
    environment = git_environment(checkout.home)
    subprocess.run(
        ["git", "update-index", "--index-info"],
        cwd=checkout.path,
        env=environment,
        input=entries,
        text=True,
        check=True,
        timeout=30,
    )
    checkout.write("file")
    assert f"{columns} file" in checkout.status()
    status = await reads.status(checkout.path)
    assert (status.conflicted, status.staged, status.unstaged) == (["file"], [], [])


async def test_a_repository_without_a_commit_has_a_branch_but_no_oid(checkout: Checkout, reads: GitReads) -> None:
    checkout.write("file")
    status = await reads.status(checkout.path)
    assert (status.branch, status.oid, status.detached, status.untracked) == ("main", None, False, ["file"])
    assert (status.upstream, status.ahead, status.behind, status.operation) == (None, None, None, None)
    branches = await reads.branches(checkout.path)
    assert (branches.current, branches.branches) == ("main", [])
    assert (await log(reads, checkout)).commits == []
    assert (await log(reads, checkout, ref="HEAD")).commits == []
    assert await base(reads, checkout, "file") == ("", "utf-8", False)


async def test_an_upstream_that_is_gone_has_no_counts(tmp_path: Path, checkout: Checkout, reads: GitReads) -> None:
    remote = bare_remote(tmp_path / "remote", checkout.home)
    checkout.commit("file")
    checkout.git("remote", "add", "origin", str(remote.path))
    checkout.git("push", "-q", "-u", "origin", "main")
    other = clone(remote, tmp_path / "clone")
    checkout.commit("file", "two\n")
    checkout.commit("file", "three\n")
    other.commit("other")
    other.git("push", "-q")
    checkout.git("fetch", "-q")

    status = await reads.status(checkout.path)
    assert (status.upstream, status.ahead, status.behind) == ("origin/main", 2, 1)
    branches = {branch.name: branch for branch in (await reads.branches(checkout.path)).branches}
    assert set(branches) == {"main", "origin/main"}
    assert (branches["main"].upstream, branches["main"].ahead, branches["main"].behind) == ("origin/main", 2, 1)
    assert branches["origin/main"].remote
    assert not branches["main"].remote

    checkout.git("update-ref", "-d", "refs/remotes/origin/main")
    status = await reads.status(checkout.path)
    assert (status.upstream, status.ahead, status.behind) == ("origin/main", None, None)
    (branch,) = (await reads.branches(checkout.path)).branches
    assert (branch.upstream, branch.ahead, branch.behind) == ("origin/main", None, None)


async def test_a_lock_that_was_left_behind_is_in_nobodys_way(checkout: Checkout, reads: GitReads) -> None:
    checkout.commit("file")
    (checkout.path / ".git" / "index.lock").touch()
    os.utime(checkout.path / "file", (1, 1))
    assert (await reads.status(checkout.path)).unstaged == []


@pytest.mark.parametrize("is_split", [False, True], ids=["", "split-index"])
async def test_a_read_writes_nothing_though_files_were_touched(
    is_split: bool, checkout: Checkout, reads: GitReads
) -> None:
    checkout.commit("file")
    if is_split:
        checkout.git("update-index", "--split-index")
    os.utime(checkout.path / "file", (1, 1))
    before = _written(checkout.path / ".git")
    await reads.status(checkout.path)
    for request in (GitDiff(), GitDiff(from_ref="HEAD"), GitDiff(path="file"), GitDiff(staged=True)):
        assert (await reads.diff(checkout.path, request)).files == []
    assert _written(checkout.path / ".git") == before


def _written(directory: Path) -> dict[Path, tuple[int, int]]:
    """Git replaces what it writes. It renews the time of a shared index whenever it reads it."""
    return {path: (path.stat().st_ino, path.stat().st_size) for path in directory.rglob("*")}


async def test_a_change_that_is_as_old_as_the_index_is_not_overlooked(checkout: Checkout, reads: GitReads) -> None:
    checkout.git("config", "core.checkStat", "minimal")
    checkout.git("config", "core.trustCTime", "false")
    checkout.commit("file", "one\n")
    index, file = checkout.path / ".git" / "index", checkout.path / "file"
    os.utime(file, (1, 1))
    checkout.git("update-index", "--refresh")
    file.write_text("two\n")
    for path in (file, index):
        os.utime(path, (1, 1))
    assert [changed.path for changed in (await reads.diff(checkout.path, GitDiff())).files] == ["file"]


async def test_a_worktree_and_a_shallow_clone_are_repositories(
    tmp_path: Path, checkout: Checkout, reads: GitReads
) -> None:
    checkout.commit("file")
    checkout.commit("file", "two\n")
    checkout.git("worktree", "add", "-q", "-b", "side", str(tmp_path / "side"))
    side = Checkout(tmp_path / "side", checkout.home)
    side.git("bisect", "start")
    status = await reads.status(side.path)
    assert (status.branch, status.operation) == ("side", "bisect")
    assert (await reads.status(checkout.path)).operation is None
    assert (await reads.branches(side.path)).current == "side"

    checkout.git("clone", "-q", "--depth=1", f"file://{checkout.path}", str(tmp_path / "shallow"))
    shallow = Checkout(tmp_path / "shallow", checkout.home)
    answer = await log(reads, shallow)
    assert (len(answer.commits), answer.more) == (1, False)


async def test_a_repository_within_is_one_untracked_path(checkout: Checkout, reads: GitReads) -> None:
    Checkout.init(checkout.path / "inner", checkout.home).commit("file")
    assert (await reads.status(checkout.path)).untracked == ["inner"]


@pytest.mark.slow
async def test_more_paths_than_fit_are_cut(checkout: Checkout, reads: GitReads) -> None:
    checkout.commit("changed", "one\n")
    checkout.write("changed", "two\n")
    for number in range(MAX_STATUS_PATHS):
        (checkout.path / f"{number:05}").touch()
    status = await reads.status(checkout.path)
    assert (len(status.unstaged), len(status.untracked), status.truncated) == (1, MAX_STATUS_PATHS - 1, True)
    (checkout.path / "00000").unlink()
    assert not (await reads.status(checkout.path)).truncated


def test_what_matters_most_is_cut_last() -> None:
    records = [
        b"? new",
        b"1 M. N... 1 1 1 a a staged",
        b"u UU N... 1 1 1 1 a a a conflict",
        b"1 .M N... 1 1 1 a a file",
    ]
    status = parse_status(b"\0".join(records) + b"\0", prefix=b"", max_paths=2)
    assert (status.conflicted, [change.path for change in status.staged]) == (["conflict"], ["staged"])
    assert (status.unstaged, status.untracked, status.truncated) == ([], [], True)
    cut = parse_status(b"? new\0? ha", prefix=b"", max_paths=2, is_cut=True)
    assert (cut.untracked, cut.truncated) == (["new"], True)


@pytest.mark.parametrize(("todo", "operation"), [("pick 1 x\n", "cherry-pick"), ("revert 1 x\n", "revert"), ("", None)])
def test_a_row_of_picks_goes_on_between_two_of_them(todo: str, operation: str | None, tmp_path: Path) -> None:
    (tmp_path / "sequencer").mkdir()
    (tmp_path / "sequencer" / "todo").write_text(todo)
    assert find_operation(tmp_path) == operation


# Where the repository is


async def test_what_changes_about_a_repository_is_seen_at_once(
    tmp_path: Path, checkout: Checkout, reads: GitReads
) -> None:
    sub = checkout.path / "sub"
    checkout.commit("sub/file")
    assert (await reads.status(sub)).oid is not None
    inner = Checkout(sub, checkout.home)
    inner.git("init", "-q")
    assert (await reads.status(sub)).oid is None
    (sub / ".git").rename(tmp_path / "away")
    assert (await reads.status(sub)).oid is not None
    (checkout.path / ".git").rename(tmp_path / "away-too")
    with pytest.raises(GitNotInitialized):
        await reads.status(sub)
    sub.rename(tmp_path / "sub")
    with pytest.raises(ProjectRootGone):
        await reads.status(sub)


@pytest.mark.parametrize("part", ["HEAD", "objects", "refs"])
async def test_what_is_left_of_a_repository_is_not_mistaken_for_the_one_around_it(
    part: str, checkout: Checkout, reads: GitReads
) -> None:
    checkout.write("around")
    inner = Checkout.init(checkout.path / "inner", checkout.home)
    inner.commit("file")
    assert (await reads.status(inner.path)).untracked == []
    away = (inner.path / ".git" / part).rename(inner.path / ".git" / "away")
    assert (await reads.status(inner.path)).untracked == ["file"]
    away.rename(inner.path / ".git" / part)
    assert (await reads.status(inner.path)).untracked == []


async def test_a_bare_repository_has_nothing_to_work_on(tmp_path: Path, checkout: Checkout, reads: GitReads) -> None:
    remote = bare_remote(tmp_path / "remote", checkout.home)
    for path in (remote.path, checkout.path / ".git"):
        with pytest.raises(GitFailed, match="bare repository"):
            await reads.status(path)


async def test_a_directory_may_be_called_anything(tmp_path: Path) -> None:
    home = user_home(tmp_path)
    checkout = Checkout.init(tmp_path / "new\nline" / os.fsdecode(b"lat\xe9"), home)
    checkout.commit("sub\n/file")
    async with reading(home) as reads:
        assert (await reads.status(checkout.path)).branch == "main"
        sub = Checkout(checkout.path / "sub\n", home)
        assert await base(reads, sub, "file") == ("", "utf-8", True)
        assert (await reads.status(sub.path)).branch == "main"


async def test_a_git_that_complains_is_quoted_without_credentials(checkout: Checkout, reads: GitReads) -> None:
    checkout.commit("file")
    with (checkout.path / ".git" / "config").open("a") as config:
        config.write("[broken\n")
    with pytest.raises(GitFailed) as failed:
        await reads.status(checkout.path)
    assert failed.value.details["exitCode"] == 128
    assert "bad config" in failed.value.details["stderr"]


# Branches


async def test_branches_say_where_they_are(checkout: Checkout, reads: GitReads) -> None:
    oid = checkout.commit("file", message="The subject\ngoes on\n\nThe body")
    checkout.git("branch", "feature/a")
    checkout.git("update-ref", "refs/remotes/origin/main", oid)
    checkout.git("symbolic-ref", "refs/remotes/origin/HEAD", "refs/remotes/origin/main")
    answer = await reads.branches(checkout.path)
    assert answer.current == "main"
    assert [(branch.name, branch.remote) for branch in answer.branches] == [
        ("feature/a", False),
        ("main", False),
        ("origin/main", True),
    ]
    branch = answer.branches[0]
    assert (branch.oid, branch.subject, branch.upstream, branch.ahead) == (oid, "The subject goes on", None, None)
    assert branch.last_commit_at.endswith(".000Z")
    checkout.git("switch", "-q", "--detach")
    assert (await reads.branches(checkout.path)).current is None


# Files of a commit


async def test_a_files_base_is_what_is_committed(checkout: Checkout, reads: GitReads) -> None:
    checkout.commit("file", "one\n")
    checkout.git("tag", "-a", "-m", "x", "v1")
    checkout.commit("file", "two\n")
    checkout.write("file", "three\n")
    (checkout.path / "binary").write_bytes(b"\xff\0")
    (checkout.path / "link").symlink_to("/etc/passwd")
    checkout.write("new\nline", "x")
    checkout.write("file\r", "carriage return")
    checkout.git("add", "--all", "--", "binary", "link", "new\nline", "file\r")
    checkout.git("commit", "-qm", "More")
    checkout.write("dir/inner", "x")

    assert await base(reads, checkout, "file") == ("two\n", "utf-8", True)
    assert await base(reads, checkout, "file", "v1") == ("one\n", "utf-8", True)
    assert await base(reads, checkout, "file", "HEAD~2") == ("one\n", "utf-8", True)
    assert await base(reads, checkout, "file", "main@{2}") == ("one\n", "utf-8", True)
    assert await base(reads, checkout, "binary") == (base64.b64encode(b"\xff\0").decode(), "base64", True)
    assert await base(reads, checkout, "link") == ("/etc/passwd", "utf-8", True)
    assert await base(reads, checkout, "new\nline") == ("x", "utf-8", True)
    assert await base(reads, checkout, "file\r") == ("carriage return", "utf-8", True)
    for missing in ("dir/inner", "nothing", "file/below", "", "no\nthing", "binary\r"):
        assert await base(reads, checkout, missing) == ("", "utf-8", False)


async def test_a_new_commit_is_seen_by_a_process_that_was_kept(checkout: Checkout, reads: GitReads) -> None:
    for number in range(5):
        checkout.commit("file", f"{number}\n")
        assert await base(reads, checkout, "file") == (f"{number}\n", "utf-8", True)
    checkout.git("gc", "-q")
    checkout.commit("file", "last\n")
    assert await base(reads, checkout, "file") == ("last\n", "utf-8", True)


async def test_a_file_that_is_too_large_is_refused(checkout: Checkout, reads: GitReads) -> None:
    (checkout.path / "large").write_bytes(b"x" * (MAX_READ_BYTES + 1))
    (checkout.path / "largest").write_bytes(b"x" * MAX_READ_BYTES)
    checkout.git("add", "--all")
    checkout.git("commit", "-qm", "Large")
    with pytest.raises(FileTooLarge):
        await base(reads, checkout, "large")
    assert len((await base(reads, checkout, "largest"))[0]) == MAX_READ_BYTES


async def test_many_ask_at_once(checkout: Checkout, reads: GitReads) -> None:
    for number in range(20):
        checkout.write(f"file-{number}", f"{number}\n")
    checkout.git("add", "--all")
    checkout.git("commit", "-qm", "Many")
    answers = await asyncio.gather(*(base(reads, checkout, f"file-{number % 20}") for number in range(100)))
    assert answers == [(f"{number % 20}\n", "utf-8", True) for number in range(100)]


# Log


async def test_the_log_comes_in_pages(checkout: Checkout, reads: GitReads) -> None:
    oids = [checkout.commit("file", f"{number}\n", message=f"Commit {number}") for number in range(5)][::-1]
    assert [commit.sha for commit in (await log(reads, checkout)).commits] == oids
    page = await log(reads, checkout, limit=2, skip=1)
    assert ([commit.sha for commit in page.commits], page.more) == (oids[1:3], True)
    assert not (await log(reads, checkout, limit=2, skip=3)).more
    assert [commit.sha for commit in (await log(reads, checkout, ref="HEAD~3")).commits] == oids[3:]


async def test_a_commit_is_told_whole(checkout: Checkout, reads: GitReads) -> None:
    first = checkout.commit("file", message="One")
    checkout.git("switch", "-qc", "side")
    second = checkout.commit("side", message="Two")
    checkout.git("switch", "-q", "main")
    checkout.git(
        *("-c", "i18n.commitEncoding=ISO-8859-1", "merge", "-q", "--no-ff", "--no-edit", "-m"),
        "Merge\n\nThe body\n\nof it\n",
        "side",
    )
    commit, *_ = (await log(reads, checkout)).commits
    assert (commit.parents, commit.author) == ([first, second], "Ada")
    assert (commit.subject, commit.body) == ("Merge", "The body\n\nof it")
    assert len(commit.authored_at) == len("2026-02-12T10:00:00.123Z")
    assert [commit.subject for commit in (await log(reads, checkout, path="side")).commits] == ["Two"]
    assert (await log(reads, checkout, path="nothing")).commits == []


async def test_a_commit_from_beyond_all_calendars_is_told(checkout: Checkout, reads: GitReads) -> None:
    checkout.commit("file")
    raw = checkout.git("cat-file", "commit", "HEAD").replace("Ada <ada@example.com> ", "\udcff <> 99999999999")
    (checkout.path / "raw").write_bytes(os.fsencode(raw))
    oid = checkout.git("hash-object", "-t", "commit", "-w", "--literally", "raw")
    checkout.git("update-ref", "HEAD", oid)
    (commit,) = (await log(reads, checkout)).commits
    assert (commit.sha, commit.authored_at) == (oid, "1970-01-01T00:00:00.000Z")
    await reads.branches(checkout.path)


# The way in


class OneProject:
    def __init__(self, root: Path) -> None:
        self._root = root

    async def root_of(self, project_id: str) -> Path:
        return self._root


async def test_every_request_that_reads_is_answered_in_the_shape_of_the_contract(
    checkout: Checkout, reads: GitReads
) -> None:
    oid = checkout.commit("file", "one\n", message="One")
    checkout.git("mv", "file", "moved")
    checkout.write("moved", "one\ntwo\n")
    table = RouteTable()
    GitReadHandlers(reads, OneProject(checkout.path)).register(table)
    context = RequestContext(project_id="proj_1", request_id="1", user_id="user")

    async def ask(wire_type: str, payload: bytes = b"{}") -> Any:
        route = table.find(wire_type)
        assert route is not None
        answer = await route.handler(parse_request(CATALOG[wire_type].request, payload), context)
        return msgspec.json.decode(encode_payload(answer))

    assert await ask("git_status") == {
        "branch": "main",
        "oid": oid,
        "upstream": None,
        "ahead": None,
        "behind": None,
        "detached": False,
        "operation": None,
        "staged": [{"path": "moved", "status": "renamed", "origPath": "file"}],
        "unstaged": [{"path": "moved", "status": "modified"}],
        "untracked": [],
        "conflicted": [],
        "truncated": False,
    }
    assert await ask("git_file_base", b'{"path":"file"}') == {
        "path": "file",
        "content": "one\n",
        "encoding": "utf-8",
        "exists": True,
    }
    lines = [
        {"kind": "context", "text": "one", "oldLine": 1, "newLine": 1},
        {"kind": "add", "text": "two", "newLine": 2},
    ]
    assert await ask("git_diff", b'{"path":"moved","from":null}') == {
        "files": [
            {
                "path": "moved",
                "status": "modified",
                "binary": False,
                "hunks": [{"header": "@@ -1 +1,2 @@", "lines": lines}],
            }
        ],
        "truncated": False,
    }
    (commit,) = (await ask("git_log", b'{"limit":1}'))["commits"]
    assert (commit["sha"], commit["parents"], commit["subject"], commit["body"]) == (oid, [], "One", "")
    (branch,) = (await ask("git_branches"))["branches"]
    assert (branch["name"], branch["upstream"], branch["remote"]) == ("main", None, False)
