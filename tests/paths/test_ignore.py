"""Which entries are ignored, and where the rules are read from."""

import os
from pathlib import Path

import pytest

from host.paths.door import Door
from host.paths.ignore import ALWAYS_IGNORED, IgnoreRules
from host.paths.ignore_reading import MAX_IGNORE_FILE_BYTES, rules_in
from host.paths.relative import parse_path


def ignored(root: Path, path: str, name: str) -> bool:
    with Door(root) as door:
        return rules_in(door, parse_path(path)).names().ignores(name, is_dir=False)


@pytest.mark.parametrize("name", sorted(ALWAYS_IGNORED))
def test_well_known_names_are_ignored_at_any_depth(name: str) -> None:
    rules = IgnoreRules.of_root(gitignore=None, exclude=None)
    deep = rules.entered("a", lambda: None).entered("b", lambda: None)
    assert rules.names().suspects(name)
    assert rules.names().ignores(name, is_dir=True)
    assert deep.names().ignores(name, is_dir=True)


def test_no_pattern_takes_a_well_known_name_back() -> None:
    assert IgnoreRules.of_root(gitignore="!dist", exclude=None).names().ignores("dist", is_dir=True)


def test_everything_inside_an_ignored_directory_is_ignored_and_its_own_rules_are_not_asked() -> None:
    def never() -> str:
        raise AssertionError("An ignored directory's .gitignore does not count.")

    inside = IgnoreRules.of_root(gitignore="a/", exclude=None).entered("a", never).entered("b", never)
    assert inside.names().suspects("x")
    assert inside.names().ignores("x", is_dir=False)


def test_the_rules_come_from_every_file_on_the_way(root: Path) -> None:
    (root / "a/b").mkdir(parents=True)
    (root / ".git/info").mkdir(parents=True)
    (root / ".gitignore").write_text("*.log\n")
    (root / "a/.gitignore").write_text("!keep.log\n")
    (root / "a/b/.gitignore").write_text("own\n")
    (root / ".git/info/exclude").write_text("private\nkeep.txt\n")
    assert ignored(root, "", "keep.log")
    assert not ignored(root, "a/b", "keep.log")
    assert ignored(root, "a/b", "other.log")
    assert ignored(root, "a/b", "own")
    assert not ignored(root, "a", "own")
    assert ignored(root, "a/b", "private")


def test_what_holds_in_every_project_counts_less_than_what_its_own_files_say(root: Path) -> None:
    (root / "a").mkdir()
    (root / ".gitignore").write_text("!kept.log")
    with Door(root) as door:
        names = rules_in(door, parse_path("a"), "*.log\nvendor").names()
    assert [names.ignores(name, is_dir=False) for name in ("x.log", "kept.log", "vendor", "y")] == [
        True,
        False,
        True,
        False,
    ]


def test_gitignore_decides_over_exclude(root: Path) -> None:
    (root / ".git/info").mkdir(parents=True)
    (root / ".git/info/exclude").write_text("kept")
    (root / ".gitignore").write_text("!kept")
    assert not ignored(root, "", "kept")


@pytest.mark.parametrize("make", ["directory", "fifo", "link", "too large", "not text"])
def test_a_gitignore_that_is_no_plain_file_counts_for_nothing(root: Path, make: str) -> None:
    file = root / ".gitignore"
    match make:
        case "directory":
            file.mkdir()
        case "fifo":
            os.mkfifo(file)
        case "link":
            (root / "rules").write_text("x")
            file.symlink_to("rules")
        case "too large":
            file.write_text("x\n" + "#" * MAX_IGNORE_FILE_BYTES)
        case "not text":
            file.write_bytes(b"\xff\0\nother")
    assert not ignored(root, "", "x")


def test_a_name_that_is_not_utf_8_can_be_ignored(root: Path) -> None:
    (root / ".gitignore").write_bytes(b"gr\xe9\n")
    assert ignored(root, "", os.fsdecode(b"gr\xe9"))
