"""Disks that are full or read-only, and modes that forbid it: making, moving and deleting change nothing then."""

import errno
import os
import subprocess
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from host.files.creating import create_directory
from host.files.deleting import delete
from host.files.locks import StripedLocks
from host.files.moving import move
from host.files.writing import FileWriter
from host.paths.door import Door
from host.paths.relative import parse_path
from host.protocol.errors import FileAccessFailed

Change = Callable[[Door], None]
LOCKS = StripedLocks()

CHANGES: dict[str, Change] = {
    "create_dir": lambda door: create_directory(door, parse_path("d/new"), umask=0o022),
    "move": lambda door: move(door, parse_path("d/f"), parse_path("d/g"), overwrite=False, locks=LOCKS),
    "move over": lambda door: move(door, parse_path("d/f"), parse_path("d/e"), overwrite=True, locks=LOCKS),
    "delete": lambda door: delete(door, parse_path("d/f"), recursive=False, locks=LOCKS),
    "delete recursively": lambda door: delete(door, parse_path("d"), recursive=True, locks=LOCKS),
}


def fill(root: Path) -> None:
    (root / "d").mkdir()
    (root / "d/f").write_text("f")
    (root / "d/e").write_text("e")


def refused(root: Path, change: str) -> FileAccessFailed:
    before = sorted(root.rglob("*"))
    with pytest.raises(FileAccessFailed) as caught, Door(root) as door:
        CHANGES[change](door)
    assert sorted(root.rglob("*")) == before
    assert ((root / "d/f").read_text(), (root / "d/e").read_text()) == ("f", "e")
    assert not caught.value.is_outcome
    return caught.value


@pytest.mark.parametrize("change", CHANGES)
def test_on_a_read_only_disk_nothing_changes(small_disk: Path, change: str) -> None:
    fill(small_disk)
    subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
    error = refused(small_disk, change)
    assert error.details["reason"] == "readOnly"
    assert "Mount that writable" in error.message


@pytest.fixture
def owned_root(shared_root: Path) -> Iterator[Path]:
    fill(shared_root)
    for path in (shared_root / "d", shared_root):
        path.chmod(0o555)
    yield shared_root
    (shared_root / "d").chmod(0o755)


@pytest.mark.parametrize("change", CHANGES)
def test_where_modes_forbid_it_nothing_changes(
    owned_root: Path, without_rights: Callable[[], AbstractContextManager[None]], change: str
) -> None:
    with without_rights():
        error = refused(owned_root, change)
    assert error.details["reason"] == "permissionDenied"


def test_on_a_full_disk_no_directory_is_made(small_disk: Path) -> None:
    # tmpfs counts inodes too.
    subprocess.run(["mount", "-o", "remount,nr_inodes=4", str(small_disk)], check=True)
    fill(small_disk)
    error = refused(small_disk, "create_dir")
    assert error.details == {"reason": "noSpace", "path": "d/new"}


@pytest.mark.parametrize("change", ["move", "move over"])
def test_a_move_that_finds_no_space_leaves_both_names_as_they_were(
    root: Path, monkeypatch: pytest.MonkeyPatch, change: str
) -> None:
    """A directory's new entry may need space; no small disk can be made to show that reliably."""
    fill(root)

    def fail(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr("host.files.renaming.rename_by_kernel", fail)
    monkeypatch.setattr(os, "rename", fail)
    assert refused(root, change).details == {"reason": "noSpace", "path": "d/f"}


def test_a_full_disk_can_be_cleared(small_disk: Path) -> None:
    fill(small_disk)
    with pytest.raises(OSError, match="No space"):
        (small_disk / "d/large").write_bytes(b"x" * 100_000)
    with Door(small_disk) as door:
        delete(door, parse_path("d"), recursive=True, locks=LOCKS)
        FileWriter().write(door, parse_path("f"), b"x" * 10_000, temporary="t")
    assert os.listdir(small_disk) == ["f"]
