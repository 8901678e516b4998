"""fs_delete (docs/protocol.md, "Files")."""

import asyncio
import errno
import os
import subprocess
import threading
import tracemalloc
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import pytest

from host.files import tree_removal
from host.files.deleting import delete
from host.files.locks import StripedLocks
from host.files.service import ProjectFiles
from host.paths.door import Door
from host.paths.relative import parse_path
from host.protocol.errors import (
    Conflict,
    DeletedInPart,
    FileAccessFailed,
    FileNotFound,
    InvalidRequest,
    OutsideProjectRoot,
)

pytestmark = pytest.mark.usefixtures("no_descriptor_is_left_open")
DEEP_LEVELS = 2000


def deleted(root: Path, path: str, *, recursive: bool = False) -> None:
    with Door(root) as door:
        delete(door, parse_path(path), recursive=recursive, locks=StripedLocks())


def make_deep(root: Path, levels: int, *, files: int = 1) -> None:
    """``d/d/d…``, deeper than any path can name, with files at every level."""
    descriptor = os.open(root, os.O_RDONLY)
    for _ in range(levels):
        os.mkdir("d", dir_fd=descriptor)
        below = os.open("d", os.O_RDONLY, dir_fd=descriptor)
        os.close(descriptor)
        descriptor = below
        for number in range(files):
            os.close(os.open(f"f{number}", os.O_WRONLY | os.O_CREAT, dir_fd=descriptor))
    os.close(descriptor)


def test_a_file_is_deleted(root: Path) -> None:
    (root / "f").touch()
    (root / "g").touch()
    deleted(root, "f")
    assert os.listdir(root) == ["g"]


@pytest.mark.parametrize("target", ["d", "missing", "../outside", "../outside/secret", "l"])
@pytest.mark.parametrize("recursive", [False, True])
def test_a_link_is_deleted_itself(root: Path, target: str, recursive: bool) -> None:
    (root / "d").mkdir()
    (root / "d/f").touch()
    (root / "l").symlink_to(target)
    deleted(root, "l", recursive=recursive)
    assert sorted(os.listdir(root)) == ["d"]
    assert os.listdir(root / "d") == ["f"]
    assert os.listdir(root.parent / "outside") == ["secret"]


def test_a_fifo_is_deleted_without_being_opened(root: Path) -> None:
    os.mkfifo(root / "p")
    deleted(root, "p")
    assert os.listdir(root) == []


def test_an_empty_directory_is_deleted_as_it_is(root: Path) -> None:
    (root / "d").mkdir()
    deleted(root, "d")
    assert os.listdir(root) == []


def test_a_directory_that_is_not_empty_is_deleted_only_with_its_contents(root: Path) -> None:
    (root / "d/e").mkdir(parents=True)
    (root / "d/e/f").write_text("content")
    with pytest.raises(Conflict, match="recursive") as caught:
        deleted(root, "d")
    assert caught.value.details == {"path": "d"}
    assert (root / "d/e/f").read_text() == "content"
    deleted(root, "d", recursive=True)
    assert os.listdir(root) == []


def test_links_in_a_directory_are_deleted_and_not_followed(root: Path) -> None:
    (root / "kept").mkdir()
    (root / "kept/f").touch()
    (root / "d/e").mkdir(parents=True)
    for name, target in (("in", "../../kept"), ("out", "../../../outside"), ("abs", str(root.parent / "outside"))):
        (root / "d/e" / name).symlink_to(target)
    deleted(root, "d", recursive=True)
    assert os.listdir(root) == ["kept"]
    assert os.listdir(root / "kept") == ["f"]
    assert os.listdir(root.parent / "outside") == ["secret"]


def test_what_is_not_there_is_not_found(root: Path) -> None:
    (root / "f").touch()
    for path in ("missing", "missing/x", "f/x"):
        with pytest.raises(FileNotFound) as caught:
            deleted(root, path, recursive=True)
        assert caught.value.details == {"path": path}


def test_the_root_is_not_deleted(root: Path) -> None:
    with pytest.raises(InvalidRequest):
        deleted(root, "", recursive=True)
    assert root.is_dir()


@pytest.mark.parametrize("path", ["../outside/secret", "out/secret", "abs/secret", "out/missing"])
def test_nothing_outside_is_deleted(root: Path, path: str) -> None:
    (root / "out").symlink_to("../outside")
    (root / "abs").symlink_to(root.parent / "outside")
    with pytest.raises(OutsideProjectRoot):
        deleted(root, path, recursive=True)
    assert os.listdir(root.parent / "outside") == ["secret"]


@pytest.mark.parametrize("path", [".git", ".git/config", ".GIT", "l/config", "d/.git", ".git/missing"])
def test_nothing_in_git_is_deleted(root: Path, path: str) -> None:
    for directory in (".git", "d/.git"):
        (root / directory).mkdir(parents=True)
        (root / directory / "config").touch()
    (root / "l").symlink_to(".git")
    with pytest.raises(InvalidRequest, match="git"):
        deleted(root, path, recursive=True)
    assert os.listdir(root / ".git") == os.listdir(root / "d/.git") == ["config"]


@pytest.mark.parametrize("name", [b"gr\xe9", b"a\nb", b"-rf", "\u202ecod".encode(), b"x" * 255])
def test_strange_names_are_deleted_alone_and_within(root: Path, name: bytes) -> None:
    shown = "gr%E9" if name == b"gr\xe9" else name.decode()
    directory = Path(os.fsdecode(os.fsencode(root) + b"/" + name))
    for recursive in (False, True):
        directory.mkdir()
        if recursive:
            (directory / directory.name).mkdir()
            (directory / directory.name / directory.name).touch()
        deleted(root, shown, recursive=recursive)
        assert os.listdir(root) == []


@pytest.mark.slow
def test_ten_thousand_and_one_entries_are_deleted(root: Path) -> None:
    (root / "d").mkdir()
    for number in range(10_001):
        # More subdirectories that are not empty than are remembered at once.
        name = f"{root}/d/{number}"
        if number % 20 == 0:
            os.mkdir(name)
            name += "/f"
        os.close(os.open(name, os.O_WRONLY | os.O_CREAT))
    deleted(root, "d", recursive=True)
    assert os.listdir(root) == []


@pytest.mark.slow
def test_a_deep_tree_is_deleted_with_few_directories_open(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make_deep(root, DEEP_LEVELS)
    most_open = 0
    open_ = os.open

    def count(*args: object, **kwargs: object) -> int:
        nonlocal most_open
        descriptor: int = open_(*args, **kwargs)  # type: ignore[arg-type]
        most_open = max(most_open, descriptor)
        return descriptor

    first = os.dup(0)
    os.close(first)
    with monkeypatch.context() as patch:
        patch.setattr(os, "open", count)
        deleted(root, "d", recursive=True)
    assert os.listdir(root) == []
    assert most_open - first < 100


def test_memory_does_not_grow_with_the_number_of_files(root: Path) -> None:
    make_deep(root, 1, files=2000)
    tracemalloc.start()
    deleted(root, "d", recursive=True)
    _, peak_bytes = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak_bytes < 80_000


@contextmanager
def failing_unlink(monkeypatch: pytest.MonkeyPatch, fails: Callable[[bytes], bool], code: int) -> Iterator[None]:
    unlink = os.unlink

    def fail(name: bytes, *, dir_fd: int) -> None:
        if fails(name):
            raise OSError(code, os.strerror(code))
        unlink(name, dir_fd=dir_fd)

    with monkeypatch.context() as patch:
        patch.setattr(os, "unlink", fail)
        yield


@pytest.mark.parametrize(
    ("code", "reason"),
    [(errno.EIO, "ioError"), (errno.EACCES, "permissionDenied"), (errno.EROFS, "readOnly"), (errno.ENOSPC, "noSpace")],
)
def test_a_failure_half_way_tells_what_is_left(
    root: Path, monkeypatch: pytest.MonkeyPatch, code: int, reason: str
) -> None:
    (root / "d/e/stuck").mkdir(parents=True)
    (root / "d/e/stuck/f").write_text("content")
    (root / "d/g").touch()
    with (
        failing_unlink(monkeypatch, lambda name: name == b"f", code),
        pytest.raises(DeletedInPart, match="only in part") as caught,
    ):
        deleted(root, "d", recursive=True)
    assert caught.value.details == {"reason": reason, "path": "d", "left": "d/e/stuck/f"}
    assert caught.value.is_outcome
    assert (root / "d/e/stuck/f").read_text() == "content"
    assert not (root / "d/g").exists()
    deleted(root, "d", recursive=True)
    assert os.listdir(root) == []


def test_a_failure_before_anything_was_deleted_is_no_outcome(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (root / "d").mkdir()
    (root / "d/f").touch()
    with failing_unlink(monkeypatch, lambda _: True, errno.EACCES), pytest.raises(FileAccessFailed) as caught:
        deleted(root, "d", recursive=True)
    assert not caught.value.is_outcome
    assert caught.value.details == {"reason": "permissionDenied", "path": "d"}
    assert (root / "d/f").exists()


def test_a_directory_whose_mode_forbids_it_keeps_its_entries(
    shared_root: Path, without_rights: Callable[[], AbstractContextManager[None]]
) -> None:
    shared_root.chmod(0o777)
    (shared_root / "d").mkdir()
    (shared_root / "d/f").touch()
    (shared_root / "d").chmod(0o555)
    for path in ("d/f", "d"):
        with without_rights(), pytest.raises(FileAccessFailed) as caught:
            deleted(shared_root, path, recursive=True)
        assert caught.value.details == {"reason": "permissionDenied", "path": path}
    assert (shared_root / "d/f").exists()


@pytest.mark.usefixtures("small_disk")  # Skips where nothing can be mounted.
@pytest.mark.parametrize("path", ["d", "d/disk"])
def test_what_is_mounted_inside_is_not_entered(root: Path, path: str) -> None:
    # A bind mount: it is of the same file system, so that only the mount itself tells.
    (root / "d/disk").mkdir(parents=True)
    outside = root.parent / "outside"
    subprocess.run(["mount", "--bind", str(outside), str(root / "d/disk")], check=True)
    try:
        with pytest.raises(FileAccessFailed, match="mounted on it") as caught:
            deleted(root, path, recursive=True)
    finally:
        subprocess.run(["umount", str(root / "d/disk")], check=True)
    assert caught.value.details == {"reason": "mountPoint", "path": path}
    assert os.listdir(outside) == ["secret"]


def test_what_is_made_again_all_the_time_is_given_up(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (root / "d/e").mkdir(parents=True)
    (root / "d/e/f").touch()
    unlink = os.unlink

    def make_again(name: bytes, *, dir_fd: int) -> None:
        unlink(name, dir_fd=dir_fd)
        os.close(os.open("g" if name == b"f" else "f", os.O_WRONLY | os.O_CREAT, dir_fd=dir_fd))

    monkeypatch.setattr(os, "unlink", make_again)
    with pytest.raises(DeletedInPart, match="keeps changing") as caught:
        deleted(root, "d", recursive=True)
    assert caught.value.details == {"reason": "changing", "path": "d", "left": "d/e"}


def test_what_is_added_once_while_it_is_deleted_goes_too(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make_deep(root, 3 * tree_removal._MAX_OPEN)
    unlink = os.unlink
    unlinked: list[bytes] = []

    def add_late(name: bytes, *, dir_fd: int) -> None:
        unlink(name, dir_fd=dir_fd)
        unlinked.append(name)
        if len(unlinked) == 3 * tree_removal._MAX_OPEN:
            (root / "d/late").mkdir()
            (root / "d/late/f").touch()

    monkeypatch.setattr(os, "unlink", add_late)
    deleted(root, "d", recursive=True)
    assert unlinked[-1] == b"f"
    assert os.listdir(root) == []


@pytest.mark.parametrize("at_level", [3, 100])
def test_what_is_moved_away_while_it_is_deleted_is_followed_nowhere(
    root: Path, monkeypatch: pytest.MonkeyPatch, at_level: int
) -> None:
    """A directory above the one at work is replaced by a link to the outside."""
    make_deep(root, 150)
    (root.parent / "outside/d").mkdir()
    (root.parent / "outside/d/f0").touch()
    taken = root / ("d/" * at_level)
    unlink = os.unlink
    calls = 0

    def swap(name: bytes, *, dir_fd: int) -> None:
        nonlocal calls
        calls += 1
        if calls == 150:
            os.rename(taken, root / "away")
            os.symlink(root.parent / "outside", taken)
        unlink(name, dir_fd=dir_fd)

    monkeypatch.setattr(os, "unlink", swap)
    deleted(root, "d", recursive=True)
    assert calls > 150
    assert os.listdir(root) == ["away"]
    assert sorted(os.listdir(root.parent / "outside")) == ["d", "secret"]
    assert os.listdir(root.parent / "outside/d") == ["f0"]


def test_a_directory_that_becomes_a_link_before_it_is_entered_is_not_followed(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (root / "d/e").mkdir(parents=True)
    (root / "d/e/secret").touch()
    rmdir = os.rmdir

    def swap(name: bytes, *, dir_fd: int) -> None:
        try:
            rmdir(name, dir_fd=dir_fd)
        except OSError:
            if name == b"e":
                os.rename(root / "d/e", root / "away")
                (root / "d/e").symlink_to(root.parent / "outside")
            raise

    monkeypatch.setattr(os, "rmdir", swap)
    deleted(root, "d", recursive=True)
    assert os.listdir(root) == ["away"]
    assert os.listdir(root / "away") == os.listdir(root.parent / "outside") == ["secret"]


async def test_a_deletion_that_is_cancelled_ends_soon(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (root / "d").mkdir()
    for number in range(20):
        (root / f"d/{number}").touch()
    unlink = os.unlink
    begun, go_on = threading.Event(), threading.Event()

    def unlink_when_allowed(name: bytes, *, dir_fd: int) -> None:
        begun.set()
        assert go_on.wait(10)
        unlink(name, dir_fd=dir_fd)

    monkeypatch.setattr(os, "unlink", unlink_when_allowed)
    with ThreadPoolExecutor(1) as pool:
        deleting = asyncio.create_task(ProjectFiles(executor=pool).delete(root, "d", recursive=True))
        assert await asyncio.to_thread(begun.wait, 10)
        deleting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await deleting
        go_on.set()
    assert len(os.listdir(root / "d")) == 19
