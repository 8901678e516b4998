"""fs_list (docs/protocol.md, "Files")."""

import os
import socket
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

import msgspec
import pytest

from host.files import listing
from host.files.listing import Listing, list_directory
from host.paths.door import Door
from host.paths.relative import parse_path
from host.protocol.errors import FileAccessFailed, FileNotFound, InvalidRequest, OutsideProjectRoot
from host.protocol.limits import MAX_LIST_ENTRIES
from host.protocol.messages.files import Entry


def list_(root: Path, path: str = "", *, depth: int = 1, max_entries: int = MAX_LIST_ENTRIES) -> Listing:
    with Door(root) as door:
        listed = list_directory(door, parse_path(path), depth=depth, max_entries=max_entries)
    msgspec.json.encode(listed.children)  # Whatever is listed can be sent.
    return listed


def paths(entries: list[Entry]) -> list[str]:
    """All the paths of a listing, level by level within each directory."""
    found = []
    for entry in entries:
        found.append(entry.path)
        if isinstance(entry.children, list):
            found += paths(entry.children)
    return found


def only(root: Path, path: str = "") -> Entry:
    (entry,) = list_(root, path).children
    return entry


def make(root: Path, *files: str) -> None:
    for file in files:
        (root / file).parent.mkdir(parents=True, exist_ok=True)
        (root / file).touch()


def test_an_entry_says_what_lstat_says(root: Path) -> None:
    (root / "f.txt").write_text("four")
    os.utime(root / "f.txt", ns=(0, 1_770_890_400_123_999_999))
    entry = only(root)
    assert entry == Entry(name="f.txt", path="f.txt", kind="file", size=4, modified_at="2026-02-12T10:00:00.123Z")


def test_directories_come_first_then_names_in_the_order_of_their_utf_8_bytes(root: Path) -> None:
    make(root, "z", "Z", "a", "ä", "\ue000", "\U0001f600", "d2/x", "d10/x")
    names = [entry.name for entry in list_(root).children]
    assert names == ["d10", "d2", "Z", "a", "z", "ä", "\ue000", "\U0001f600"]


def test_paths_are_of_the_project(root: Path) -> None:
    make(root, "a/b/c")
    listed = list_(root, "a", depth=2)
    assert paths(listed.children) == ["a/b", "a/b/c"]


def test_depth_says_how_many_levels_are_listed(root: Path) -> None:
    make(root, "a/b/c/d")
    assert paths(list_(root, "a").children) == ["a/b"]
    assert paths(list_(root, "a", depth=3).children) == ["a/b", "a/b/c", "a/b/c/d"]
    assert list_(root, "a").children[0].children is msgspec.UNSET


def test_of_the_root_only_one_level_is_listed(root: Path) -> None:
    make(root, "a/b")
    assert paths(list_(root, "", depth=20).children) == ["a"]


def test_an_empty_directory_has_children_but_none(root: Path) -> None:
    (root / "a/empty").mkdir(parents=True)
    assert list_(root, "a", depth=2).children[0].children == []
    assert list_(root, "a/empty").children == []


@pytest.mark.parametrize("target", ["b", "../outside", "/etc", "missing", ".", "l"])
def test_a_link_is_listed_with_its_target_and_never_followed(root: Path, target: str) -> None:
    make(root, "a/b/c")
    (root / "a/l").symlink_to(target)
    entry = list_(root, "a", depth=5).children[1]
    assert (entry.name, entry.kind, entry.target, entry.size) == ("l", "symlink", target, len(target))
    assert entry.children is msgspec.UNSET


def test_a_links_target_that_is_not_utf_8_is_escaped(root: Path) -> None:
    os.symlink(b"gr\xe9", os.fsencode(root) + b"/l")
    assert only(root).target == "gr%E9"


def test_a_directory_can_be_listed_through_a_link_in_the_root(root: Path) -> None:
    make(root, "a/b")
    (root / "l").symlink_to("a")
    assert paths(list_(root, "l").children) == ["l/b"]


def test_what_is_neither_file_nor_directory_is_other(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    os.mkfifo(root / "fifo")
    # A socket's whole path must be short, wherever the tests work.
    monkeypatch.chdir(root)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind("socket")
        assert [(entry.name, entry.kind) for entry in list_(root).children] == [("fifo", "other"), ("socket", "other")]


@pytest.mark.parametrize("name", ["a\nb", "-rf", "\u202ecod", "x" * 255, '"\\', "%41", "\x7f\x01"])
def test_a_strange_name_is_shown_as_it_is(root: Path, name: str) -> None:
    make(root, name)
    entry = only(root)
    assert (entry.name, entry.path, entry.name_encoded) == (name, name, msgspec.UNSET)


def test_a_name_that_is_not_utf_8_is_escaped_and_its_path_can_be_listed_again(root: Path) -> None:
    os.makedirs(os.fsencode(root) + b"/d/\xff\xfe%/x\xe9")
    entry = only(root, "d")
    assert (entry.name, entry.path, entry.name_encoded) == ("%FF%FE%25", "d/%FF%FE%25", True)
    below = only(root, entry.path)
    assert below.path == "d/%FF%FE%25/x%E9"
    assert paths(list_(root, "d", depth=3).children) == [entry.path, below.path]


def test_names_that_are_not_utf_8_are_sorted_as_they_are_shown(root: Path) -> None:
    for name in (b"\xff", b"a", b"$", b"%", b"&"):
        Path(os.fsdecode(os.fsencode(root) + b"/" + name)).touch()
    assert [entry.name for entry in list_(root).children] == ["$", "%", "%FF", "&", "a"]


def test_ignored_entries_are_marked_and_not_descended(root: Path) -> None:
    make(root, "a/node_modules/x", "a/out/x", "a/src/x", "a/x.log", "a/src/y.log")
    (root / ".gitignore").write_text("out/\n*.log\n")
    listed = list_(root, "a", depth=3)
    marked = {entry.name: entry.ignored for entry in listed.children}
    assert marked == {"node_modules": True, "out": True, "src": msgspec.UNSET, "x.log": True}
    assert paths(listed.children) == ["a/node_modules", "a/out", "a/src", "a/src/x", "a/src/y.log", "a/x.log"]


def test_an_ignored_directory_that_is_asked_for_is_listed_with_all_of_it_ignored(root: Path) -> None:
    make(root, "node_modules/a/b")
    listed = list_(root, "node_modules", depth=3)
    assert paths(listed.children) == ["node_modules/a"]
    assert listed.children[0].ignored is True


def test_a_nested_gitignore_holds_from_its_directory_down(root: Path) -> None:
    make(root, "a/b/x.tmp", "a/x.tmp")
    (root / "a/b/.gitignore").write_text("*.tmp")
    ignored = {entry.path: entry.ignored for entry in list_(root, "a/b").children}
    assert ignored["a/b/x.tmp"] is True
    (directory, other) = list_(root, "a", depth=2).children
    assert isinstance(directory.children, list)
    assert directory.children[1].ignored is True
    assert other.ignored is msgspec.UNSET


def test_as_many_entries_as_allowed_are_not_truncated(root: Path) -> None:
    make(root, *(f"f{number}" for number in range(5)))
    listed = list_(root, max_entries=5)
    assert (len(listed.children), listed.truncated) == (5, False)


def test_of_too_many_the_first_in_order_are_listed(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make(root, "z/x", *(f"f{number:03}" for number in range(200)))
    monkeypatch.setattr(listing, "_MIN_CHUNK", 7)
    listed = list_(root, max_entries=5)
    assert [entry.name for entry in listed.children] == ["z", "f000", "f001", "f002", "f003"]
    assert listed.truncated


def test_the_limit_is_spent_breadth_first_and_what_was_cut_says_so(root: Path) -> None:
    make(root, "d/a/1/x", "d/a/2", "d/b/3", "d/b/4", "d/c/5", "d/e/6")
    (root / "d/empty").mkdir()
    listed = list_(root, "d", depth=3, max_entries=8)
    assert paths(listed.children) == ["d/a", "d/a/1", "d/a/2", "d/b", "d/b/3", "d/c", "d/e", "d/empty"]
    assert listed.truncated
    a, b, c, e, empty = listed.children
    assert [entry.truncated for entry in (a, b, c, e, empty)] == [msgspec.UNSET, True, True, True, msgspec.UNSET]
    assert isinstance(a.children, list)
    assert a.children[0].truncated is True


@pytest.mark.slow
def test_a_whole_answer_holds_ten_thousand_entries(root: Path) -> None:
    for number in range(MAX_LIST_ENTRIES + 1):
        os.close(os.open(root / f"{number:05}", os.O_CREAT))
    listed = list_(root)
    assert len(listed.children) == MAX_LIST_ENTRIES
    assert listed.truncated
    os.unlink(root / "00000")
    assert not list_(root).truncated


def test_a_file_is_no_directory(root: Path) -> None:
    make(root, "f")
    with pytest.raises(InvalidRequest):
        list_(root, "f")


def test_a_directory_that_is_not_there_is_not_found(root: Path) -> None:
    with pytest.raises(FileNotFound):
        list_(root, "missing")
    with pytest.raises(OutsideProjectRoot):
        list_(root, "../outside")


def test_git_can_be_listed(root: Path) -> None:
    make(root, ".git/config")
    assert paths(list_(root, ".git").children) == [".git/config"]


def test_a_directory_without_permission_fails_only_itself(
    shared_root: Path, without_rights: Callable[[], AbstractContextManager[None]]
) -> None:
    make(shared_root, "a/closed/x", "a/open/x")
    (shared_root / "a/closed").chmod(0)
    with without_rights():
        listed = list_(shared_root, "a", depth=2)
        with pytest.raises(FileAccessFailed) as caught:
            list_(shared_root, "a/closed")
    (shared_root / "a/closed").chmod(0o700)
    closed, opened = listed.children
    assert closed.children is msgspec.UNSET
    assert isinstance(opened.children, list)
    assert caught.value.details == {"reason": "permissionDenied", "path": "a/closed"}


def test_a_directory_that_may_be_read_but_not_entered_shows_its_names(
    shared_root: Path, without_rights: Callable[[], AbstractContextManager[None]]
) -> None:
    make(shared_root, "a/x")
    (shared_root / "a").chmod(0o444)
    with without_rights():
        entry = only(shared_root, "a")
    (shared_root / "a").chmod(0o700)
    assert (entry.name, entry.kind, entry.size) == ("x", "other", 0)


@pytest.mark.parametrize("seconds", [-(2**40), -1, 2**33, 2**34 - 1])
def test_a_strange_time_does_not_kill_the_listing(root: Path, seconds: int) -> None:
    make(root, "f")
    os.utime(root / "f", (seconds, seconds))
    assert only(root).modified_at.endswith("Z")


def test_the_listing_leaves_no_descriptor(root: Path) -> None:
    make(root, *(f"d/{number}/{number}/x" for number in range(20)))
    before = len(os.listdir("/dev/fd"))
    list_(root, "d", depth=5)
    list_(root, "d", depth=5, max_entries=30)
    assert len(os.listdir("/dev/fd")) == before
