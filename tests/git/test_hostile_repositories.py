"""Whatever a repository configures, reading it runs none of it. Plain git, asked the same, would have."""

import os
import pty
import shutil
import stat
import subprocess
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final

import pytest

from host.git.reads import GitReads
from host.protocol.errors import GitFailed, GitNotInitialized, InvalidRequest, OutsideProjectRoot, ProtocolError
from host.protocol.messages.git import GitDiff
from tests.support.git_reading import reading
from tests.support.git_remotes import Checkout, git_environment, user_home

pytestmark = pytest.mark.timeout(120)

# A path's, in a commit that plain git can't find any more.
LOST: Final = "lost.txt"


@dataclass
class Trap:
    """A repository, and a program that leaves a mark wherever it is run."""

    repository: Checkout
    directory: Path

    @classmethod
    def make(cls, directory: Path) -> "Trap":
        repository = Checkout.init(directory / "repository", user_home(directory))
        repository.commit("file.txt", "one\n")
        repository.commit(LOST, "lost\n")
        return cls(repository, directory)

    @property
    def root(self) -> Path:
        return self.repository.path

    @property
    def mark(self) -> Path:
        return self.directory / "mark"

    @property
    def program(self) -> Path:
        """Passes its input on, so that filters work."""
        return self._script("program", "exec cat")

    @property
    def transport(self) -> Path:
        """Never answers, so that nobody waits for it."""
        return self._script("transport", "exit 1")

    def _script(self, name: str, last: str) -> Path:
        script = self.directory / name
        if not script.exists():
            script.write_text(f'#!/bin/sh\necho "$@" >> "{self.mark}"\n{last}\n')
            script.chmod(0o755)
        return script

    def configure(self, name: str, value: str | Path | None = None) -> None:
        self.repository.git("config", name, str(value or self.program))

    def attribute(self, attributes: str) -> None:
        self.repository.commit(".gitattributes", f"*.txt {attributes}\n")

    def change(self) -> None:
        """A file is another one than in the index, and looks so."""
        self.repository.write("file.txt", "two\n")

    def touch(self) -> None:
        """A file looks as if it were another one."""
        os.utime(self.root / "file.txt", (1, 1))

    def lose(self) -> None:
        """A file's content is missing in the repository, and in the index; a partial clone would fetch it."""
        oid = self.repository.git("rev-parse", f"HEAD:{LOST}")
        (self.root / ".git" / "objects" / oid[:2] / oid[2:]).unlink()
        self.repository.write(LOST, "other\n")
        self.repository.git("config", "core.repositoryFormatVersion", "1")
        self.repository.git("config", "extensions.partialClone", "origin")
        self.repository.git("config", "remote.origin.promisor", "true")

    def is_sprung(self) -> bool:
        return self.mark.exists()

    def reset(self) -> None:
        self.mark.unlink(missing_ok=True)


Setter = Callable[[Trap], None]


def set_fsmonitor(trap: Trap) -> None:
    trap.configure("core.fsmonitor")


def set_hooks_path(trap: Trap) -> None:
    hooks = trap.directory / "hooks"
    hooks.mkdir()
    (hooks / "post-index-change").symlink_to(trap.program)
    trap.configure("core.hooksPath", hooks)
    trap.touch()


def set_hook(trap: Trap) -> None:
    trap.repository.hook("post-index-change", f'exec "{trap.program}" </dev/null')
    trap.touch()


def set_clean_filter(trap: Trap) -> None:
    trap.attribute("filter=evil")
    trap.configure("filter.evil.clean")
    trap.configure("filter.evil.required", "true")
    trap.change()


def set_process_filter(trap: Trap) -> None:
    trap.attribute("filter=evil")
    trap.configure("filter.evil.process", f"{trap.program} </dev/null")
    trap.change()


def set_filter_with_an_odd_name(trap: Trap) -> None:
    trap.attribute("filter=e=v.il")
    trap.configure("filter.e=v.il.clean")
    trap.change()


def set_included_filter(trap: Trap) -> None:
    trap.attribute("filter=evil")
    trap.repository.write("config", f'[filter "evil"]\n\tclean = "{trap.program}"\n')
    trap.configure("include.path", "../config")
    trap.change()


def set_conditionally_included_filter(trap: Trap) -> None:
    trap.attribute("filter=evil")
    trap.repository.write("config", f'[filter "evil"]\n\tclean = "{trap.program}"\n')
    trap.configure("includeIf.onbranch:main.path", "../config")
    trap.change()


def set_worktree_filter(trap: Trap) -> None:
    trap.attribute("filter=evil")
    trap.repository.git("config", "extensions.worktreeConfig", "true")
    trap.repository.git("config", "--worktree", "filter.evil.clean", str(trap.program))
    trap.change()


def set_external_diff(trap: Trap) -> None:
    trap.configure("diff.external")
    trap.change()


def set_diff_command(trap: Trap) -> None:
    trap.attribute("diff=evil")
    trap.configure("diff.evil.command")
    trap.change()


def set_textconv(trap: Trap) -> None:
    trap.attribute("diff=evil")
    trap.configure("diff.evil.textconv")
    trap.change()


def set_signature(trap: Trap) -> None:
    commit = trap.repository.git("cat-file", "commit", "HEAD")
    head, _, message = commit.partition("\n\n")
    signed = f"{head}\ngpgsig -----BEGIN PGP SIGNATURE-----\n \n x\n -----END PGP SIGNATURE-----\n\n{message}\n"
    trap.repository.write("commit", signed)
    oid = trap.repository.git("hash-object", "-t", "commit", "-w", "commit")
    trap.repository.git("update-ref", "HEAD", oid)
    trap.configure("log.showSignature", "true")
    trap.configure("gpg.program")


def set_submodule(trap: Trap) -> None:
    inner = Checkout.init(trap.directory / "inner", trap.repository.home)
    inner.commit("inner.txt", "one\n")
    trap.repository.git("-c", "protocol.file.allow=always", "submodule", "add", "-q", str(inner.path), "sub")
    trap.repository.git("commit", "-qm", "A submodule")
    Checkout(trap.root / "sub", inner.home).git("config", "core.fsmonitor", str(trap.program))
    trap.configure("diff.submodule", "diff")
    trap.configure("status.submoduleSummary", "true")
    (trap.root / "sub" / "inner.txt").write_text("two\n")


def set_ssh_of_a_partial_clone(trap: Trap) -> None:
    trap.lose()
    trap.configure("remote.origin.url", "ssh://nowhere.invalid/x")
    trap.configure("core.sshCommand", trap.transport)


def set_upload_pack_of_a_partial_clone(trap: Trap) -> None:
    trap.lose()
    trap.configure("remote.origin.url", trap.root)
    trap.configure("remote.origin.uploadpack", trap.transport)


def set_command_of_a_partial_clone(trap: Trap) -> None:
    trap.lose()
    trap.configure("remote.origin.url", f"ext::{trap.transport}")
    trap.configure("protocol.ext.allow", "always")


def set_proxy_of_a_partial_clone(trap: Trap) -> None:
    trap.lose()
    trap.configure("remote.origin.url", "git://nowhere.invalid/x")
    trap.configure("core.gitProxy", trap.transport)


def set_linked_directory(trap: Trap) -> None:
    set_fsmonitor(trap)
    (trap.root / ".git").rename(trap.root / "docs")
    (trap.root / ".git").symlink_to("docs")


def set_directory_elsewhere(trap: Trap) -> None:
    set_fsmonitor(trap)
    (trap.root / ".git").rename(trap.root / "docs")
    (trap.root / ".git").write_text("gitdir: docs\n")


STATUS: Final = ("status",)
DIFF: Final = ("diff",)
TRAPS: Final[dict[Setter, tuple[str, ...]]] = {
    set_fsmonitor: STATUS,
    set_hooks_path: STATUS,
    set_hook: STATUS,
    set_clean_filter: DIFF,
    set_process_filter: DIFF,
    set_filter_with_an_odd_name: DIFF,
    set_included_filter: DIFF,
    set_conditionally_included_filter: DIFF,
    set_worktree_filter: DIFF,
    set_external_diff: DIFF,
    set_diff_command: DIFF,
    set_textconv: DIFF,
    set_signature: ("log",),
    set_submodule: STATUS,
    set_ssh_of_a_partial_clone: DIFF,
    set_upload_pack_of_a_partial_clone: DIFF,
    set_command_of_a_partial_clone: DIFF,
    set_proxy_of_a_partial_clone: DIFF,
    set_linked_directory: STATUS,
    set_directory_elsewhere: STATUS,
}


async def read_everything(reads: GitReads, root: Path) -> None:
    """Ask for all there is, in every way; what is refused is refused."""
    requests = (
        GitDiff(),
        GitDiff(staged=True),
        GitDiff(path="file.txt"),
        GitDiff(path=LOST),
        GitDiff(from_ref="HEAD"),
        GitDiff(from_ref="HEAD~1", to_ref="HEAD"),
    )
    work: tuple[Callable[[], Awaitable[object]], ...] = (
        lambda: reads.status(root),
        lambda: reads.branches(root),
        lambda: reads.file_base(root, "file.txt", "HEAD"),
        lambda: reads.file_base(root, LOST, "HEAD"),
        lambda: reads.log(root, ref=None, path=None, limit=10, skip=0),
        lambda: reads.log(root, ref="HEAD", path="file.txt", limit=10, skip=0),
        *(partial(reads.diff, root, request) for request in requests),
    )
    for ask in work:
        with suppress(ProtocolError):
            await ask()


@pytest.mark.parametrize("set_trap", TRAPS, ids=[set_trap.__name__.removeprefix("set_") for set_trap in TRAPS])
async def test_reading_runs_nothing_that_the_repository_names(set_trap: Setter, tmp_path: Path) -> None:
    trap = Trap.make(tmp_path)
    set_trap(trap)
    trap.reset()
    async with reading(trap.repository.home) as reads:
        await read_everything(reads, trap.root)
        # What was found out about the repository is kept; the second time nothing may be forgotten.
        await read_everything(reads, trap.root)
    assert not trap.is_sprung()

    trap.repository.attempt(*TRAPS[set_trap])
    assert trap.is_sprung(), "Plain git does not run it either, so this shows nothing."


async def test_a_trap_that_is_set_between_two_reads_is_seen(tmp_path: Path) -> None:
    trap = Trap.make(tmp_path)
    trap.attribute("filter=evil")
    trap.change()
    async with reading(trap.repository.home) as reads:
        await read_everything(reads, trap.root)
        trap.configure("filter.evil.clean")
        await read_everything(reads, trap.root)
    assert not trap.is_sprung()


async def test_a_trap_in_another_directory_that_is_named_between_two_reads_is_seen(tmp_path: Path) -> None:
    trap = Trap.make(tmp_path)
    trap.attribute("filter=evil")
    trap.change()
    other = trap.root / "other"
    shutil.copytree(trap.root / ".git", other)
    with (other / "config").open("a") as config:
        config.write(f'[filter "evil"]\n\tclean = "{trap.program}"\n')
    async with reading(trap.repository.home) as reads:
        await read_everything(reads, trap.root)
        (trap.root / ".git" / "commondir").write_text("../other\n")
        await read_everything(reads, trap.root)
    assert not trap.is_sprung()

    trap.repository.attempt(*DIFF)
    assert trap.is_sprung()


async def test_a_users_own_filter_still_runs(tmp_path: Path) -> None:
    trap = Trap.make(tmp_path)
    trap.attribute("filter=mine")
    trap.repository.git("config", "--global", "filter.mine.clean", f"{trap.program} mine | tr a-z A-Z")
    other = tmp_path / "other"
    trap.configure("filter.mine.clean", f"touch {other}; cat")
    trap.change()
    async with reading(trap.repository.home) as reads:
        answer = await reads.diff(trap.root, GitDiff(path="file.txt"))
    assert [line.text for line in answer.files[0].hunks[0].lines] == ["one", "TWO"]
    assert not other.exists()


async def test_a_bare_repository_that_came_with_a_clone_is_refused(tmp_path: Path) -> None:
    trap = Trap.make(tmp_path)
    docs = trap.root / "docs"
    trap.repository.git("init", "-q", "--bare", str(docs))
    (docs / "worktree").mkdir()
    inner = Checkout(docs, trap.repository.home)
    inner.git("config", "core.bare", "false")
    inner.git("config", "core.worktree", "worktree")
    inner.git("config", "core.fsmonitor", str(trap.program))
    trap.reset()
    async with reading(trap.repository.home) as reads:
        with pytest.raises(GitFailed, match="bare repository"):
            await reads.status(docs)
        await read_everything(reads, docs)
    assert not trap.is_sprung()

    inner.attempt("status")
    assert trap.is_sprung()


async def test_a_working_tree_elsewhere_is_refused(tmp_path: Path) -> None:
    trap = Trap.make(tmp_path)
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "secret.txt").touch()
    trap.repository.git("config", "core.worktree", str(elsewhere))
    async with reading(trap.repository.home) as reads:
        with pytest.raises(GitFailed, match=r"core\.worktree"):
            await reads.status(trap.root)
    assert "secret.txt" in trap.repository.git("status", "--short")


async def test_no_pager_is_run(tmp_path: Path) -> None:
    trap = Trap.make(tmp_path)
    trap.configure("core.pager")
    async with reading(trap.repository.home) as reads:
        await read_everything(reads, trap.root)
    assert not trap.is_sprung()

    controller, terminal = pty.openpty()
    environment = {**git_environment(trap.repository.home), "TERM": "xterm"}
    subprocess.run(["git", "log"], cwd=trap.root, env=environment, stdout=terminal, check=False, timeout=30)
    os.close(terminal)
    os.close(controller)
    assert trap.is_sprung()


async def test_what_the_daemon_was_started_with_names_no_program_and_no_repository(tmp_path: Path) -> None:
    trap = Trap.make(tmp_path)
    trap.change()
    extra = {
        "GIT_EXTERNAL_DIFF": str(trap.program),
        "GIT_CONFIG_COUNT": "1",
        "GIT_CONFIG_KEY_0": "core.fsmonitor",
        "GIT_CONFIG_VALUE_0": str(trap.program),
        "GIT_CONFIG_PARAMETERS": f"'core.fsmonitor={trap.program}'",
        "GIT_DIR": str(tmp_path / "nowhere"),
    }
    async with reading(trap.repository.home, extra) as reads:
        assert (await reads.status(trap.root)).unstaged != []
        await read_everything(reads, trap.root)
    assert not trap.is_sprung()


async def test_git_is_not_looked_for_in_the_project(tmp_path: Path) -> None:
    trap = Trap.make(tmp_path)
    shutil.copy(trap.program, trap.root / "git")
    path = f".:{os.environ['PATH']}"
    async with reading(trap.repository.home, {"PATH": path}) as reads:
        assert (await reads.status(trap.root)).untracked == ["git"]
    assert not trap.is_sprung()


@pytest.mark.parametrize(
    "ref",
    ["--output=mark", "-p", "^HEAD", "HEAD..HEAD", "HEAD^@", "HEAD^!", ":/one", "HEAD:file.txt", "a b", "a\nb", "\x00"],
)
async def test_a_ref_is_never_anything_else(ref: str, tmp_path: Path) -> None:
    trap = Trap.make(tmp_path)
    async with reading(trap.repository.home) as reads:
        with pytest.raises(InvalidRequest):
            await reads.diff(trap.root, GitDiff(from_ref=ref))
        with pytest.raises(InvalidRequest):
            await reads.diff(trap.root, GitDiff(from_ref="HEAD", to_ref=ref))
        with pytest.raises(InvalidRequest):
            await reads.log(trap.root, ref=ref, path=None, limit=1, skip=0)
        with pytest.raises(InvalidRequest):
            await reads.file_base(trap.root, "file.txt", ref)
    assert sorted(file.name for file in trap.root.iterdir()) == [".git", "file.txt", LOST]


@pytest.mark.parametrize("ref", ["nothing", "HEAD~9", "refs/heads/nothing", "0" * 40, "main@{9}"])
async def test_a_ref_that_names_nothing_is_an_invalid_request(ref: str, tmp_path: Path) -> None:
    trap = Trap.make(tmp_path)
    async with reading(trap.repository.home) as reads:
        with pytest.raises(InvalidRequest):
            await reads.diff(trap.root, GitDiff(from_ref=ref))
        with pytest.raises(InvalidRequest):
            await reads.log(trap.root, ref=ref, path=None, limit=1, skip=0)
        with pytest.raises(InvalidRequest):
            await reads.file_base(trap.root, "file.txt", ref)


@pytest.mark.parametrize("name", ["--output=mark", "-p", ":(top)file.txt", ":!file.txt", "*.txt", "fi[l]e.txt", ":/"])
async def test_a_path_is_literal(name: str, tmp_path: Path) -> None:
    trap = Trap.make(tmp_path)
    trap.change()
    directory, _, last = name.rpartition("/")
    async with reading(trap.repository.home) as reads:
        assert (await reads.diff(trap.root, GitDiff(path=last or directory))).files == []
        assert (await reads.log(trap.root, ref=None, path=last or directory, limit=5, skip=0)).commits == []
        assert not (await reads.file_base(trap.root, last or directory, "HEAD")).exists

        trap.repository.write(last or directory, "x\n")
        files = (await reads.diff(trap.root, GitDiff(path=last or directory))).files
        assert [(file.path, file.status) for file in files] == [(last or directory, "added")]


@pytest.mark.parametrize("path", ["../file.txt", "/etc/passwd", "out/x", "out/nothing", "a/../../x"])
async def test_a_path_out_of_the_project_is_refused(path: str, tmp_path: Path) -> None:
    trap = Trap.make(tmp_path)
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "x").touch()
    (trap.root / "out").symlink_to(tmp_path / "outside")
    async with reading(trap.repository.home) as reads:
        with pytest.raises(OutsideProjectRoot):
            await reads.file_base(trap.root, path, "HEAD")
        with pytest.raises(OutsideProjectRoot):
            await reads.diff(trap.root, GitDiff(path=path))
        with pytest.raises(OutsideProjectRoot):
            await reads.log(trap.root, ref=None, path=path, limit=1, skip=0)


async def test_where_there_is_no_repository_it_says_so(tmp_path: Path) -> None:
    async with reading(user_home(tmp_path)) as reads:
        with pytest.raises(GitNotInitialized):
            await reads.status(tmp_path)


@pytest.mark.skipif(os.geteuid() != 0, reason="Only root can give a directory to somebody else.")
async def test_a_repository_of_another_user_is_refused_with_what_to_do(tmp_path: Path) -> None:
    trap = Trap.make(tmp_path)
    for path in (trap.root, trap.root / ".git"):
        os.chown(path, 12345, 12345)
    async with reading(trap.repository.home) as reads:
        with pytest.raises(GitFailed, match="belongs to another user") as refused:
            await reads.status(trap.root)
    assert "safe.directory" in refused.value.details["stderr"]


async def test_a_list_of_names_without_end_is_not_read(tmp_path: Path) -> None:
    trap = Trap.make(tmp_path)
    trap.configure("mailmap.file", "/dev/zero")
    async with reading(trap.repository.home) as reads:
        assert len((await reads.log(trap.root, ref=None, path=None, limit=5, skip=0)).commits) == 2


async def test_a_fifo_in_the_way_holds_up_nothing(tmp_path: Path) -> None:
    trap = Trap.make(tmp_path)
    os.mkfifo(trap.root / "pipe")
    assert stat.S_ISFIFO((trap.root / "pipe").stat().st_mode)
    async with reading(trap.repository.home) as reads:
        assert (await reads.diff(trap.root, GitDiff(path=""))).files == []
        assert (await reads.status(trap.root)).untracked == []
