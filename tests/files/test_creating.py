"""fs_create_dir (docs/protocol.md, "Files")."""

import os
import stat
from pathlib import Path

import pytest

from host.files.creating import create_directory
from host.paths.door import Door
from host.paths.relative import parse_path
from host.paths.walk import MAX_DEPTH
from host.protocol.errors import Conflict, FileNotFound, InvalidRequest, OutsideProjectRoot

pytestmark = pytest.mark.usefixtures("no_descriptor_is_left_open")


def create(root: Path, path: str, umask: int = 0o022) -> None:
    with Door(root) as door:
        create_directory(door, parse_path(path), umask=umask)


def test_a_directory_is_made_with_those_above_it(root: Path) -> None:
    create(root, "a/b/c", umask=0o027)
    for path in ("a", "a/b", "a/b/c"):
        assert stat.S_IMODE((root / path).stat().st_mode) == 0o750


@pytest.mark.parametrize("path", ["", "a", "a/b", "l"])
def test_a_directory_that_is_there_is_what_was_asked_for(root: Path, path: str) -> None:
    (root / "a/b").mkdir(parents=True)
    (root / "a/b/f").touch()
    (root / "l").symlink_to("a")
    create(root, path)
    assert (root / "a/b/f").exists()


def test_a_file_in_its_place_is_a_conflict(root: Path) -> None:
    (root / "f").write_text("content")
    (root / "l").symlink_to("f")
    for path in ("f", "l"):
        with pytest.raises(Conflict) as caught:
            create(root, path)
        assert caught.value.details == {"path": path}
    assert (root / "f").read_text() == "content"


def test_a_file_on_the_way_to_it_is_not_found(root: Path) -> None:
    (root / "f").touch()
    with pytest.raises(FileNotFound):
        create(root, "f/d")


def test_a_link_to_nothing_in_the_root_gets_its_target(root: Path) -> None:
    (root / "l").symlink_to("a/b")
    create(root, "l")
    assert (root / "a/b").is_dir()
    assert (root / "l").is_symlink()


@pytest.mark.parametrize("target", ["../outside", "../outside/new", "/tmp/new"])
@pytest.mark.parametrize("path", ["l", "l/d"])
def test_no_link_out_of_the_root_is_followed(root: Path, target: str, path: str) -> None:
    (root / "l").symlink_to(target)
    with pytest.raises(OutsideProjectRoot):
        create(root, path)
    assert os.listdir(root.parent / "outside") == ["secret"]


@pytest.mark.parametrize("path", [".git", ".GIT", ".git/x", "a/.git/hooks", "l/x"])
def test_nothing_is_made_in_git(root: Path, path: str) -> None:
    (root / ".git").mkdir()
    (root / "l").symlink_to(".git")
    with pytest.raises(InvalidRequest, match="git"):
        create(root, path)
    assert os.listdir(root / ".git") == []
    assert not (root / "a").exists()


@pytest.mark.parametrize("path", ["d/" * MAX_DEPTH + "d", "a/" + "x" * 256, "x" * 256 + "/a"])
def test_what_cannot_be_made_whole_is_not_begun(root: Path, path: str) -> None:
    with pytest.raises(InvalidRequest):
        create(root, path)
    assert os.listdir(root) == []


@pytest.mark.parametrize("name", ["a\nb", "-rf", "\u202ecod", "x" * 255])
def test_strange_names_are_made_as_they_are(root: Path, name: str) -> None:
    create(root, f"{name}/{name}")
    assert os.listdir(root) == [name]
    assert os.listdir(root / name) == [name]


def test_a_file_that_appears_at_the_last_moment_is_a_conflict(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mkdir = os.mkdir

    def appear(name: bytes, mode: int, *, dir_fd: int) -> None:
        (root / "d").touch()
        mkdir(name, mode, dir_fd=dir_fd)

    monkeypatch.setattr(os, "mkdir", appear)
    with pytest.raises(Conflict):
        create(root, "d")
