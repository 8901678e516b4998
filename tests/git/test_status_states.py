"""Our status is git's own, whatever state a repository is in. Git is read another way: as porcelain v1, and as text."""

import os
import random
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import pytest

from host.protocol.messages.git import Change, GitStatusResponse
from tests.support.git_reading import reading
from tests.support.git_remotes import Checkout, user_home

pytestmark = [pytest.mark.slow, pytest.mark.timeout(240)]

STEPS: Final = 25
NAMES: Final = [
    b"a.txt",
    b"b.txt",
    b"dir/c.txt",
    b"dir/deep/d.txt",
    b"inner/e.txt",
    b"with blank",
    b"a -> b",
    b'quote"d',
    b"back\\slash",
    b"new\nline",
    b"tab\t",
    b"100%41",
    b"lat\xe9",
    b"dir/%\xff%41",
    "caf\u00e9".encode(),
    "cafe\u0301".encode(),
    "\u202egpj.exe".encode(),
    b"-rf",
    b":(top)x",
    b"?? x",
]
CONFLICTS: Final = frozenset({"DD", "AU", "UD", "UA", "DU", "AA", "UU"})
WORDS: Final = {
    "A": "added",
    "M": "modified",
    "D": "deleted",
    "R": "renamed",
    "C": "copied",
    "T": "typechange",
}
# What the long status says, the first that is found.
OPERATIONS: Final = [
    ("rebase", r"rebas|currently editing a commit|currently splitting a commit"),
    ("merge", r"git merge --abort|still merging"),
    ("cherry-pick", r"cherry-pick"),
    ("revert", r"currently reverting|Revert currently in progress"),
    ("bisect", r"currently bisecting"),
]


def shown(path: bytes) -> str:
    def name(part: bytes) -> str:
        try:
            return part.decode()
        except UnicodeDecodeError:
            text = part.decode(errors="surrogateescape")
            return "".join(
                f"%{os.fsencode(letter)[0]:02X}" if letter == "%" or "\udc80" <= letter <= "\udcff" else letter
                for letter in text
            )

    return "/".join(name(part) for part in path.split(b"/"))


@dataclass
class Expected:
    staged: list[tuple[str, str, str | None]]
    unstaged: list[tuple[str, str, str | None]]
    untracked: list[str]
    conflicted: list[str]


def expected_status(checkout: Checkout, *, below: bytes = b"") -> Expected:
    """From ``git status --porcelain=v1``, what lies below a directory."""
    expected = Expected([], [], [], [])
    options = ("--porcelain=v1", "-z", "--untracked-files=all", "--ignore-submodules=dirty")
    # The text holds whatever the names do.
    records = iter(os.fsencode(checkout.git("status", *options)).split(b"\0")[:-1])
    for record in records:
        columns, path = record[:2].decode(), record[3:]
        origin = next(records) if columns[0] in "RC" or columns[1] in "RC" else None
        if not path.startswith(below):
            continue
        name, old = shown(path[len(below) :]), None if origin is None else shown(origin[len(below) :])
        if columns in CONFLICTS:
            expected.conflicted.append(name)
        elif columns == "??":
            expected.untracked.append(name.removesuffix("/"))
        else:
            for letter, changes in zip(columns, (expected.staged, expected.unstaged), strict=True):
                if letter != " ":
                    changes.append((name, WORDS[letter], old if letter in "RC" else None))
    return expected


def tuples(changes: list[Change]) -> list[tuple[str, str, str | None]]:
    return [(change.path, change.status, change.orig_path or None) for change in changes]


def check(status: GitStatusResponse, checkout: Checkout, *, below: bytes = b"") -> None:
    expected = expected_status(checkout, below=below)
    assert tuples(status.staged) == expected.staged
    assert tuples(status.unstaged) == expected.unstaged
    assert sorted(status.untracked) == sorted(expected.untracked)
    assert status.conflicted == expected.conflicted
    assert not status.truncated
    check_head(status, checkout)


def check_head(status: GitStatusResponse, checkout: Checkout) -> None:
    branch = checkout.attempt("symbolic-ref", "--quiet", "--short", "HEAD").stdout.strip() or None
    oid = checkout.attempt("rev-parse", "--verify", "--quiet", "HEAD").stdout.strip() or None
    upstream = checkout.attempt("rev-parse", "--abbrev-ref", "@{upstream}").stdout.strip() or None
    assert (status.branch, status.oid, status.detached) == (branch, oid, branch is None)
    assert status.upstream == upstream
    if upstream is not None:
        ahead, behind = checkout.git("rev-list", "--left-right", "--count", "HEAD...@{upstream}").split()
        assert (status.ahead, status.behind) == (int(ahead), int(behind))
    else:
        assert (status.ahead, status.behind) == (None, None)
    text = checkout.git("-c", "advice.statusHints=true", "status", "--untracked-files=no")
    assert status.operation == next((word for word, said in OPERATIONS if re.search(said, text)), None), text


class Walk:
    """Goes at random from one state of a repository to another; what git refuses it does not do."""

    def __init__(self, checkout: Checkout, seed: int) -> None:
        self.checkout = checkout
        self.random = random.Random(seed)
        self.count = 0

    def begin(self) -> None:
        """Three branches that have gone their own ways."""
        for _ in range(12):
            self.write()
        self.save()
        for _ in range(2):
            self.branch()
            for _ in range(3):
                self.write()
                self.write()
                self.save()
            self.git("switch", "--quiet", "main")
            self.write()
            self.save()

    def save(self) -> None:
        self.stage_all()
        self.commit()

    def step(self) -> str:
        action = self.random.choice(self.actions())
        action()
        return action.__name__

    def actions(self) -> list[Callable[[], None]]:
        often = [self.write, self.write, self.write, self.remove, self.stage, self.stage_all, self.save, self.commit]
        return [
            *often,
            *(self.rename, self.unstage, self.intend, self.make_executable, self.make_link, self.make_directory),
            *(self.branch, self.switch, self.switch, self.detach, self.reset, self.stash, self.follow),
            *(self.merge, self.merge, self.rebase, self.pick, self.revert, self.bisect, self.abort, self.sparse),
            self.move_submodule,
        ]

    def git(self, *arguments: str) -> None:
        self.checkout.attempt(*arguments)

    def path(self) -> Path:
        return self.checkout.path / os.fsdecode(self.random.choice(NAMES))

    def name(self) -> str:
        return os.fsdecode(self.random.choice(NAMES))

    def write(self) -> None:
        path = self.path()
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text("".join(f"{self.random.randrange(4)}\n" for _ in range(12)))
        except (IsADirectoryError, FileExistsError, NotADirectoryError):
            pass

    def remove(self) -> None:
        path = self.path()
        if path.is_file() or path.is_symlink():
            path.unlink()

    def make_link(self) -> None:
        self.remove()
        path = self.path()
        if path.is_file():
            path.unlink()
            path.symlink_to("a.txt")

    def make_directory(self) -> None:
        path = self.path()
        if path.is_file():
            path.unlink()
            path.mkdir()
            (path / "within").write_text("x\n")

    def make_executable(self) -> None:
        path = self.path()
        if path.is_file():
            path.chmod(0o755)

    def stage(self) -> None:
        self.git("--literal-pathspecs", "add", "--all", "--", self.name())

    def stage_all(self) -> None:
        self.git("add", "--all")

    def intend(self) -> None:
        self.git("--literal-pathspecs", "add", "--intent-to-add", "--", self.name())

    def unstage(self) -> None:
        self.git("--literal-pathspecs", "rm", "--quiet", "--cached", "--", self.name())

    def rename(self) -> None:
        self.git("--literal-pathspecs", "mv", "--", self.name(), self.name())

    def commit(self) -> None:
        self.count += 1
        self.git("commit", "--quiet", "--all", "--message", f"Commit {self.count}")

    def branch(self) -> None:
        self.count += 1
        self.git("switch", "--quiet", "--create", f"branch-{self.count}")

    def switch(self) -> None:
        self.git("switch", "--quiet", *self.random.choice([(), ("--discard-changes",)]), self.other())

    def detach(self) -> None:
        self.git("switch", "--quiet", "--detach")

    def reset(self) -> None:
        self.git("reset", "--quiet", self.random.choice(["--soft", "--mixed", "--hard"]), "HEAD~1")

    def stash(self) -> None:
        self.git("stash", *self.random.choice([("push", "--include-untracked"), ("pop",)]))

    def follow(self) -> None:
        self.git("branch", f"--set-upstream-to={self.other()}")

    def merge(self) -> None:
        self.git("merge", "--quiet", "--no-edit", self.other())

    def rebase(self) -> None:
        self.git("rebase", "--quiet", self.other())

    def pick(self) -> None:
        self.git("cherry-pick", f"{self.other()}~1", self.other())

    def revert(self) -> None:
        self.git("revert", "--no-edit", "HEAD~1", "HEAD~2")

    def bisect(self) -> None:
        self.git("bisect", *self.random.choice([("start", "HEAD", "HEAD~3"), ("reset",)]))

    def abort(self) -> None:
        for operation in ("merge", "rebase", "cherry-pick", "revert"):
            self.git(operation, "--abort")

    def sparse(self) -> None:
        self.git("sparse-checkout", *self.random.choice([("set", "--no-cone", "/dir/"), ("disable",)]))

    def move_submodule(self) -> None:
        if (self.checkout.path / "sub" / ".git").exists():
            inner = Checkout(self.checkout.path / "sub", self.checkout.home)
            inner.attempt("commit", "--quiet", "--allow-empty", "--message", "Moved")

    def other(self) -> str:
        branches = self.checkout.git("for-each-ref", "--format=%(refname:short)", "refs/heads").split()
        return self.random.choice(branches or ["main"])


def with_submodule(checkout: Checkout) -> None:
    source = Checkout.init(checkout.path.parent / "source", checkout.home)
    source.commit("inner.txt")
    checkout.git("-c", "protocol.file.allow=always", "submodule", "--quiet", "add", str(source.path), "sub")


@pytest.mark.parametrize("seed", range(10))
async def test_the_status_is_gits_own(seed: int, tmp_path: Path) -> None:
    checkout = Checkout.init(tmp_path / "repository", user_home(tmp_path))
    walk = Walk(checkout, seed)
    if seed % 5:
        walk.begin()
    if seed % 2:
        with_submodule(checkout)
    taken: list[str] = []
    async with reading(checkout.home) as reads:
        for _ in range(STEPS):
            taken.append(walk.step())
            try:
                check(await reads.status(checkout.path), checkout)
                (checkout.path / "inner").mkdir(exist_ok=True)
                within = await reads.status(checkout.path / "inner")
                expected = expected_status(checkout, below=b"inner/")
                assert within.untracked == expected.untracked
                assert within.conflicted == expected.conflicted
            except AssertionError as exc:
                raise AssertionError(f"After {taken}") from exc
