"""git_diff: what it says of two versions of a file leads from one to the other, whatever the file is called."""

import os
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from host.git.parsing.diff import parse_diff, quoted
from host.git.parsing.hunks import added_hunk
from host.git.reads import GitReads
from host.protocol.errors import InvalidRequest
from host.protocol.limits import MAX_DIFF_BYTES
from host.protocol.messages.git import DiffFile, GitDiff
from tests.support.git_reading import reading
from tests.support.git_remotes import Checkout, user_home

NAMES: Final = [
    "plain.txt",
    "with blank",
    'quo"te',
    "new\nline",
    "a\ndiff --git a/x b/x\n@@ -1 +1 @@",
    "tab\t",
    "é",
    "b/c",
]


@pytest.fixture
def checkout(tmp_path: Path) -> Checkout:
    return Checkout.init(tmp_path / "repository", user_home(tmp_path))


@pytest.fixture
async def reads(checkout: Checkout) -> Any:
    async with reading(checkout.home) as reads:
        yield reads


async def ask(reads: GitReads, checkout: Checkout, **members: Any) -> dict[str, DiffFile]:
    answer = await reads.diff(checkout.path, GitDiff(**members))
    assert not answer.truncated
    return {file.path: file for file in answer.files}


def sides(file: DiffFile) -> tuple[str, str]:
    """Both versions, of a diff with all of the context; line numbers are checked on the way."""
    old, new = [], []
    for hunk in file.hunks:
        for line in hunk.lines:
            if line.kind != "add":
                old.append(line.text)
                assert line.old_line == len(old)
            if line.kind != "delete":
                new.append(line.text)
                assert line.new_line == len(new)
    return "\n".join(old), "\n".join(new)


def random_content(chance: random.Random) -> str:
    """Lines of which some look like parts of a diff."""
    lines = ["one", "", "--- a/x", "+++ b/x", "@@ -1 +1 @@", "diff --git a/x b/x", "\\ No newline", "Binary files a"]
    # Whether there is a newline at the end is not told, so there is none.
    return "".join(chance.choice(lines) + "\n" for _ in range(chance.randrange(15))) + "end"


@pytest.mark.parametrize("seed", range(8))
async def test_a_diff_leads_from_one_version_to_the_other(seed: int, checkout: Checkout, reads: GitReads) -> None:
    chance = random.Random(seed)
    versions = {name: (random_content(chance), random_content(chance) + "x") for name in NAMES}
    for name, (old, _) in versions.items():
        checkout.write(name, old)
    checkout.git("add", "--all")
    checkout.git("commit", "-qm", "Old")
    for name, (_, new) in versions.items():
        checkout.write(name, new)

    files = await ask(reads, checkout, context=1000)

    assert {path: sides(file) for path, file in files.items()} == versions
    assert {file.status for file in files.values()} == {"modified"}
    checkout.git("add", "--all")
    assert await ask(reads, checkout, context=1000) == {}
    assert await ask(reads, checkout, context=1000, staged=True) == files
    checkout.git("commit", "-qm", "New")
    assert await ask(reads, checkout, context=1000, from_ref="HEAD~1", to_ref="HEAD") == files
    assert await ask(reads, checkout, context=1000, from_ref="HEAD~1") == files
    assert await ask(reads, checkout, context=1000, from_ref="HEAD~1", path=NAMES[0]) == {NAMES[0]: files[NAMES[0]]}


async def test_each_kind_of_change_is_told(checkout: Checkout, reads: GitReads) -> None:
    for name in ("changed", "deleted", "linked", "moved", "mode"):
        checkout.write(name, f"{name}\n" * 10)
    (checkout.path / "binary").write_bytes(b"a\0b")
    checkout.git("add", "--all")
    checkout.git("commit", "-qm", "One")
    checkout.write("changed", "other\n")
    (checkout.path / "binary").write_bytes(b"a\0c")
    (checkout.path / "deleted").unlink()
    (checkout.path / "linked").unlink()
    (checkout.path / "linked").symlink_to("changed")
    (checkout.path / "mode").chmod(0o755)
    checkout.git("mv", "moved", "dir moved")
    checkout.write("new", "")
    checkout.git("add", "--all")

    files = await ask(reads, checkout, staged=True)

    assert {path: file.status for path, file in files.items()} == {
        "changed": "modified",
        "binary": "modified",
        "deleted": "deleted",
        "linked": "typechange",
        "mode": "modified",
        "dir moved": "renamed",
        "new": "added",
    }
    assert files["dir moved"].orig_path == "moved"
    assert files["binary"].binary
    assert [len(hunk.lines) for hunk in files["linked"].hunks] == [10, 1]
    assert files["mode"].hunks == files["new"].hunks == files["dir moved"].hunks == []


async def test_a_conflict_is_shown_as_what_it_makes_of_our_side(checkout: Checkout, reads: GitReads) -> None:
    checkout.commit("file", "base\n")
    checkout.git("switch", "-qc", "other")
    checkout.commit("file", "theirs\n")
    checkout.git("switch", "-q", "main")
    checkout.commit("file", "ours\n")
    checkout.attempt("merge", "other")

    files = await ask(reads, checkout)

    added = [line.text for line in files["file"].hunks[0].lines if line.kind == "add"]
    assert added == ["<<<<<<< HEAD", "=======", "theirs", ">>>>>>> other"]
    assert await ask(reads, checkout, staged=True) == {}


async def test_untracked_files_are_shown_when_they_are_asked_for(checkout: Checkout, reads: GitReads) -> None:
    checkout.commit(".gitignore", "*.log\n")
    checkout.write("dir/new.txt", "one\ntwo")
    checkout.write("dir/no.log", "x\n")
    (checkout.path / "dir" / "binary").write_bytes(b"\0")
    (checkout.path / "dir" / "link").symlink_to("/etc/passwd")
    (checkout.path / "dir" / os.fsdecode(b"lat\xe9")).write_text("x\n")

    files = await ask(reads, checkout, path="dir")

    assert set(files) == {"dir/new.txt", "dir/binary", "dir/link", "dir/lat%E9"}
    assert sides(files["dir/new.txt"]) == ("", "one\ntwo")
    assert files["dir/new.txt"].hunks[0].header == "@@ -0,0 +1,2 @@"
    assert sides(files["dir/link"]) == ("", "/etc/passwd")
    assert files["dir/binary"].binary
    assert await ask(reads, checkout, path="dir/lat%E9") == {"dir/lat%E9": files["dir/lat%E9"]}
    assert await ask(reads, checkout) == await ask(reads, checkout, path="dir", staged=True) == {}


async def test_a_name_that_is_not_text_is_found_as_it_was_shown(checkout: Checkout, reads: GitReads) -> None:
    checkout.commit(os.fsdecode(b"lat\xe9"), "one\n")
    checkout.commit("100%41", "one\n")
    checkout.write(os.fsdecode(b"lat\xe9"), "two\n")
    checkout.write("100%41", "two\n")
    for name in ("lat%E9", "100%41"):
        assert list(await ask(reads, checkout, path=name)) == [name]
        assert (await reads.file_base(checkout.path, name, "HEAD")).exists
        assert len((await reads.log(checkout.path, ref=None, path=name, limit=5, skip=0)).commits) == 1


async def test_a_project_below_the_repository_sees_its_own_files_only(checkout: Checkout, reads: GitReads) -> None:
    for name in ("top", "sub/file", "sub/moved-out", "moved-in"):
        checkout.write(name, f"{name}\n" * 5)
    checkout.git("add", "--all")
    checkout.git("commit", "-qm", "One")
    checkout.git("mv", "sub/moved-out", "moved-out")
    checkout.git("mv", "moved-in", "sub/moved-in")
    checkout.commit("top", "two\n", message="Outside")
    checkout.write("top", "three\n")
    checkout.write("untracked", "x\n")
    checkout.write("sub/file", "two\n")
    sub = Checkout(checkout.path / "sub", checkout.home)

    assert list(await ask(reads, sub)) == ["file"]
    assert list(await ask(reads, sub, path="")) == ["file"]
    assert {path: file.status for path, file in (await ask(reads, sub, from_ref="HEAD~1")).items()} == {
        "file": "modified",
        "moved-out": "deleted",
        "moved-in": "added",
    }
    status = await reads.status(sub.path)
    assert [change.path for change in status.unstaged] == ["file"]
    assert status.untracked == []
    assert (await reads.file_base(sub.path, "file", "HEAD")).exists
    assert not (await reads.file_base(sub.path, "top", "HEAD")).exists


async def test_a_repository_without_a_commit_has_diffs_too(checkout: Checkout, reads: GitReads) -> None:
    assert await ask(reads, checkout) == await ask(reads, checkout, staged=True) == {}
    checkout.write("file", "one\n")
    checkout.git("add", "file")
    assert [(file.path, file.status) for file in (await ask(reads, checkout, staged=True)).values()] == [
        ("file", "added")
    ]


async def test_other_forms_of_diffs_that_are_configured_change_nothing(checkout: Checkout, reads: GitReads) -> None:
    checkout.commit("same")
    checkout.commit("file é", "one\n\ntwo\n")
    checkout.write("file é", "one\n\nthree\n")
    before = await ask(reads, checkout)
    settings = {
        "color.ui": "always",
        "color.diff": "always",
        "diff.noprefix": "true",
        "diff.mnemonicPrefix": "true",
        "diff.suppressBlankEmpty": "true",
        "diff.relative": "true",
        "diff.wsErrorHighlight": "all",
        "diff.colorMoved": "zebra",
        "core.quotePath": "false",
        "diff.context": "0",
        "diff.autoRefreshIndex": "false",
    }
    for name, value in settings.items():
        checkout.git("config", name, value)
    os.utime(checkout.path / "same", (1, 1))
    assert await ask(reads, checkout) == before
    assert before["file é"].hunks[0].lines[1].text == ""


async def test_a_diff_that_is_too_long_says_so(checkout: Checkout, reads: GitReads) -> None:
    for name in ("a", "b", "c"):
        checkout.write(name, "")
    checkout.git("add", "--all")
    checkout.git("commit", "-qm", "One")
    checkout.write("a", "a\n")
    checkout.write("b", "x" * 80 + "\n" + f"{'y' * 99}\n" * (MAX_DIFF_BYTES // 100))
    checkout.write("c", "c\n")
    answer = await reads.diff(checkout.path, GitDiff())
    assert answer.truncated
    assert [(file.path, len(file.hunks)) for file in answer.files] == [("a", 1), ("b", 0), ("c", 0)]

    checkout.write("untracked", "z" * (MAX_DIFF_BYTES + 1))
    answer = await reads.diff(checkout.path, GitDiff(path="untracked"))
    assert answer.truncated
    assert [(file.path, len(file.hunks)) for file in answer.files] == [("untracked", 0)]


@pytest.mark.parametrize("members", [{"to_ref": "HEAD"}, {"from_ref": "HEAD", "to_ref": "HEAD", "staged": True}])
async def test_members_that_make_no_sense_together_are_refused(
    members: dict[str, Any], checkout: Checkout, reads: GitReads
) -> None:
    with pytest.raises(InvalidRequest):
        await reads.diff(checkout.path, GitDiff(**members))


def whole_diff(names: list[bytes]) -> bytes:
    raw = b"".join(b":100644 100644 0000000 0000000 M\0%b\0" % name for name in names)
    return raw + b"\0" + b"".join(_section(name) for name in names)


def _section(name: bytes) -> bytes:
    a, b = quoted(b"a/" + name), quoted(b"b/" + name)
    return b"diff --git %b %b\n--- %b\n+++ %b\n@@ -1 +1 @@\n-%b\n+%b\n" % (a, b, a, b, name[:1], name[-1:])


@given(
    st.lists(
        st.binary(min_size=1, max_size=5).filter(lambda name: b"\0" not in name and b"\n" not in name), unique=True
    )
)
@pytest.mark.slow
def test_a_diff_that_is_cut_anywhere_gives_whole_hunks_only(names: list[bytes]) -> None:
    output = whole_diff(names)
    whole, truncated = parse_diff(output, prefix=b"", max_files=100)
    assert not truncated
    assert [len(file.hunks) for file in whole] == [1] * len(names)
    for end in range(0, len(output), 7):
        files, truncated = parse_diff(output[:end], prefix=b"", max_files=100, is_cut=True)
        assert truncated
        assert all(cut.hunks in ([], full.hunks) for cut, full in zip(files, whole, strict=False))


@given(st.binary(max_size=2000))
def test_no_output_of_git_breaks_the_parser(output: bytes) -> None:
    parse_diff(output, prefix=b"", max_files=5)


@pytest.mark.parametrize(
    ("content", "header", "texts"),
    [
        (b"x", "@@ -0,0 +1 @@", ["x"]),
        (b"x\n", "@@ -0,0 +1 @@", ["x"]),
        (b"\n\n", "@@ -0,0 +1,2 @@", ["", ""]),
        (b"\xff\r\n", "@@ -0,0 +1 @@", ["\ufffd\r"]),
    ],
)
def test_a_new_file_is_one_hunk(content: bytes, header: str, texts: list[str]) -> None:
    hunk = added_hunk(content)
    assert hunk.header == header
    assert list(_texts(hunk.lines)) == texts


def _texts(lines: Any) -> Iterator[str]:
    return (line.text for line in lines)
