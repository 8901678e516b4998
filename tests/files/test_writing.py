"""fs_write (docs/protocol.md, "Files")."""

import os
import stat
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from pathlib import Path

import pytest
from msgspec import UNSET

from host.files.etags import StatEtags, content_etag
from host.files.locks import StripedLocks
from host.files.reading import read_file
from host.files.temporary import temporary_name
from host.files.times import modified_at
from host.files.writing import FileWriter, IfMatch, process_umask
from host.paths.door import Door
from host.paths.relative import parse_path
from host.protocol.errors import (
    Conflict,
    DaemonBusy,
    FileAccessFailed,
    FileNotFound,
    FileTooLarge,
    InvalidRequest,
    OutsideProjectRoot,
)
from host.protocol.limits import MAX_READ_BYTES, MAX_WRITE_BYTES
from host.protocol.messages.files import FsWriteResponse

WRITER = FileWriter(umask=0o022)
TEMPORARY = temporary_name("user", "request")


def write(
    root: Path,
    path: str,
    content: bytes = b"new",
    if_match: IfMatch = UNSET,
    *,
    create_dirs: bool = False,
    writer: FileWriter = WRITER,
    temporary: str = TEMPORARY,
) -> FsWriteResponse:
    with Door(root) as door:
        return writer.write(
            door, parse_path(path), content, temporary=temporary, if_match=if_match, create_dirs=create_dirs
        )


def etag(root: Path, path: str) -> str:
    with Door(root) as door:
        return read_file(door, parse_path(path), offset=0, length=0, stat_etags=StatEtags()).etag


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_a_new_file_is_written_and_told(root: Path) -> None:
    response = write(root, "f", b"new")
    assert (root / "f").read_bytes() == b"new"
    assert response == FsWriteResponse(
        path="f", size=3, modified_at=modified_at((root / "f").stat().st_mtime_ns), etag=etag(root, "f")
    )
    assert os.listdir(root) == ["f"]


def test_a_new_files_mode_is_that_of_the_umask_it_was_given(root: Path) -> None:
    write(root, "f", writer=FileWriter(umask=0o027))
    assert mode(root / "f") == 0o640


def test_the_umask_is_the_processs_own_unless_another_is_given() -> None:
    umask = os.umask(0o077)
    try:
        assert FileWriter().umask == process_umask() == 0o077
    finally:
        os.umask(umask)


@pytest.mark.parametrize("old_mode", [0o600, 0o755, 0o644, 0o6755])
def test_a_write_keeps_the_files_mode(root: Path, old_mode: int) -> None:
    (root / "f").touch()
    (root / "f").chmod(old_mode)
    write(root, "f")
    assert mode(root / "f") == old_mode


def test_a_write_keeps_the_files_owner_and_group(root: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("Only root can give a file away.")
    (root / "f").touch()
    os.chown(root / "f", 1234, 4321)
    write(root, "f")
    assert ((root / "f").stat().st_uid, (root / "f").stat().st_gid) == (1234, 4321)


def test_a_program_that_cannot_keep_its_owner_loses_the_right_to_act_as_it(
    shared_root: Path, without_rights: Callable[[], AbstractContextManager[None]]
) -> None:
    if os.geteuid() != 0:
        pytest.skip("Only root can make a file of another user.")
    shared_root.chmod(0o777)
    (shared_root / "f").touch()
    (shared_root / "f").chmod(0o4777)
    with without_rights():
        write(shared_root, "f")
    assert mode(shared_root / "f") == 0o777


def test_a_reader_keeps_the_old_file_while_a_new_one_takes_its_place(root: Path) -> None:
    (root / "f").write_bytes(b"old")
    with (root / "f").open("rb") as reader:
        write(root, "f")
        assert reader.read() == b"old"


def test_a_link_stays_and_what_it_leads_to_is_written(root: Path) -> None:
    (root / "d").mkdir()
    (root / "d/f").write_bytes(b"old")
    (root / "l").symlink_to("d/f")
    (root / "l2").symlink_to("l")
    write(root, "l2")
    assert (root / "l").is_symlink()
    assert (root / "d/f").read_bytes() == b"new"
    assert not (root / "d/f").is_symlink()


def test_a_link_to_nothing_in_the_root_makes_its_target(root: Path) -> None:
    (root / "l").symlink_to("missing")
    write(root, "l")
    assert (root / "l").is_symlink()
    assert (root / "missing").read_bytes() == b"new"


@pytest.mark.parametrize("target", ["../outside/secret", "../outside/new", "/etc/new"])
def test_no_link_out_of_the_root_is_followed(root: Path, target: str) -> None:
    (root / "l").symlink_to(target)
    with pytest.raises(OutsideProjectRoot):
        write(root, "l")
    assert (root.parent / "outside/secret").read_text() == "secret"
    assert os.listdir(root.parent / "outside") == ["secret"]


def test_all_hard_links_see_what_is_written(root: Path) -> None:
    (root / "f").write_bytes(b"much older content")
    (root / "f").chmod(0o751)
    os.link(root / "f", root / "g")
    response = write(root, "f", b"new")
    assert (root / "g").read_bytes() == b"new"
    assert response.etag == etag(root, "g")
    write(root, "g", b"x" * 100_000)
    assert (root / "f").read_bytes() == b"x" * 100_000
    write(root, "f", b"")
    assert (root / "g").read_bytes() == b""
    assert mode(root / "g") == 0o751


@pytest.mark.parametrize("name", ["a\nb", "-rf", "\u202ecod", "x" * 255, "gr%E9", ".git2"])
def test_strange_names_are_written_as_they_are(root: Path, name: str) -> None:
    write(root, name)
    assert os.listdir(root) == [name]


def test_a_file_whose_name_is_not_utf_8_is_written_by_what_is_shown_of_it(root: Path) -> None:
    file = os.fsencode(root) + b"/gr\xe9"
    Path(os.fsdecode(file)).touch()
    write(root, "gr%E9")
    assert os.listdir(os.fsencode(root)) == [b"gr\xe9"]
    assert Path(os.fsdecode(file)).read_bytes() == b"new"


def test_a_missing_parent_is_not_found_unless_it_is_to_be_made(root: Path) -> None:
    with pytest.raises(FileNotFound) as caught:
        write(root, "a/b/f")
    assert caught.value.details == {"path": "a/b/f"}
    assert os.listdir(root) == []
    write(root, "a/b/f", create_dirs=True)
    assert (root / "a/b/f").read_bytes() == b"new"
    assert mode(root / "a/b") == 0o755


def test_a_file_is_no_parent(root: Path) -> None:
    (root / "f").touch()
    for create_dirs in (False, True):
        with pytest.raises(FileNotFound):
            write(root, "f/x", create_dirs=create_dirs)


@pytest.mark.parametrize("kind", ["directory", "fifo", "root"])
def test_only_regular_files_are_written(root: Path, kind: str) -> None:
    if kind == "directory":
        (root / "x").mkdir()
    if kind == "fifo":
        os.mkfifo(root / "x")
    with pytest.raises(InvalidRequest):
        write(root, "" if kind == "root" else "x")


@pytest.mark.parametrize("path", [".git/config", ".GIT/hooks/new", "sub/.git", "l/x", ".git/a/b"])
def test_nothing_is_written_in_git(root: Path, path: str) -> None:
    (root / ".git").mkdir()
    (root / "sub").mkdir()
    (root / "l").symlink_to(".git")
    with pytest.raises(InvalidRequest, match="git"):
        write(root, path, create_dirs=True)
    assert os.listdir(root / ".git") == []


def test_the_largest_content_is_written_and_one_byte_more_is_too_large(root: Path) -> None:
    write(root, "f", b"x" * MAX_WRITE_BYTES)
    with pytest.raises(FileTooLarge):
        write(root, "f", b"x" * (MAX_WRITE_BYTES + 1))
    with pytest.raises(FileTooLarge):
        write(root, "a/f", b"x" * (MAX_WRITE_BYTES + 1), create_dirs=True)
    assert os.listdir(root) == ["f"]


def test_a_matching_etag_lets_a_write_through(root: Path) -> None:
    (root / "f").write_bytes(b"old")
    response = write(root, "f", b"new", etag(root, "f"))
    write(root, "f", b"newer", response.etag)
    assert (root / "f").read_bytes() == b"newer"


def test_a_stale_etag_is_a_conflict_that_tells_the_current_one(root: Path) -> None:
    (root / "f").write_bytes(b"theirs")
    with pytest.raises(Conflict) as caught:
        write(root, "f", b"mine", content_etag(b"old"))
    assert caught.value.details == {"path": "f", "etag": content_etag(b"theirs")}
    assert (root / "f").read_bytes() == b"theirs"


def test_an_etag_of_a_file_that_is_missing_is_a_conflict(root: Path) -> None:
    with pytest.raises(Conflict) as caught:
        write(root, "f", b"mine", content_etag(b"old"))
    assert caught.value.details == {"path": "f", "etag": None}
    with pytest.raises(Conflict):
        write(root, "a/f", b"mine", content_etag(b"old"), create_dirs=True)
    assert os.listdir(root) == []


def test_if_match_null_means_that_it_must_not_exist(root: Path) -> None:
    write(root, "f", b"first", None)
    with pytest.raises(Conflict) as caught:
        write(root, "f", b"second", None)
    assert caught.value.details["etag"] == content_etag(b"first")
    assert (root / "f").read_bytes() == b"first"


def test_a_large_file_is_matched_too(root: Path) -> None:
    with (root / "f").open("wb") as file:
        file.truncate(MAX_READ_BYTES + 1)
    stale = etag(root, "f")
    with (root / "f").open("r+b") as file:
        file.write(b"x")
    with pytest.raises(Conflict):
        write(root, "f", b"new", stale)
    write(root, "f", b"new", etag(root, "f"))


def test_what_comes_first_of_several_faults(root: Path) -> None:
    large = b"x" * (MAX_WRITE_BYTES + 1)
    (root / "d").mkdir()
    (root / "f").touch()
    with pytest.raises(OutsideProjectRoot):
        write(root, ".git/../x", large)
    with pytest.raises(InvalidRequest):
        write(root, ".git/missing/x", large)
    with pytest.raises(FileNotFound):
        write(root, "missing/x", large, "stale")
    with pytest.raises(InvalidRequest):
        write(root, "d", large, "stale")
    with pytest.raises(FileTooLarge):
        write(root, "f", large, "stale")


def test_of_many_writers_with_the_same_etag_one_wins(root: Path) -> None:
    (root / "f").write_bytes(b"old")
    (root / "l").symlink_to("f")
    seen = etag(root, "f")
    start = threading.Barrier(6)

    def attempt(number: int) -> bool:
        start.wait()
        try:
            path, temporary = "l" if number % 2 else "f", temporary_name("user", f"{number}")
            write(root, path, b"by %d" % number, seen, temporary=temporary)
        except Conflict:
            return False
        return True

    with ThreadPoolExecutor(6) as pool:
        won = list(pool.map(attempt, range(6)))
    assert won.count(True) == 1
    assert (root / "f").read_bytes() == b"by %d" % won.index(True)


def test_a_lock_that_is_never_released_does_not_hold_up_others_for_ever() -> None:
    locks = StripedLocks(timeout_s=0.01)
    with locks.held("a"), pytest.raises(DaemonBusy), locks.held("a"):
        pass
    with locks.held("a"):
        pass


def test_a_file_whose_mode_forbids_it_is_not_written(
    shared_root: Path, without_rights: Callable[[], AbstractContextManager[None]]
) -> None:
    shared_root.chmod(0o777)
    (shared_root / "f").write_bytes(b"old")
    (shared_root / "f").chmod(0o444)
    with without_rights(), pytest.raises(FileAccessFailed) as caught:
        write(shared_root, "f")
    assert caught.value.details == {"reason": "permissionDenied", "path": "f"}
    assert (shared_root / "f").read_bytes() == b"old"
    assert os.listdir(shared_root) == ["f"]


def test_a_directory_whose_mode_forbids_it_gets_no_file(
    shared_root: Path, without_rights: Callable[[], AbstractContextManager[None]]
) -> None:
    (shared_root / "d").mkdir()
    (shared_root / "d").chmod(0o555)
    with without_rights(), pytest.raises(FileAccessFailed) as caught:
        write(shared_root, "d/f")
    assert caught.value.details == {"reason": "permissionDenied", "path": "d/f"}


def test_of_many_writers_of_a_new_file_one_wins(root: Path) -> None:
    start = threading.Barrier(6)

    def attempt(number: int) -> bool:
        start.wait()
        try:
            # A writer of its own: these are not kept apart by locks.
            write(root, "f", b"by %d" % number, None, writer=FileWriter(), temporary=temporary_name("u", f"{number}"))
        except Conflict:
            return False
        return True

    with ThreadPoolExecutor(6) as pool:
        won = list(pool.map(attempt, range(6)))
    assert won.count(True) == 1
    assert (root / "f").read_bytes() == b"by %d" % won.index(True)
    assert os.listdir(root) == ["f"]


def test_a_file_that_another_program_makes_at_the_last_moment_is_not_replaced(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fsync = os.fsync

    def make_it_meanwhile(descriptor: int) -> None:
        fsync(descriptor)
        (root / "f").write_bytes(b"theirs")

    monkeypatch.setattr(os, "fsync", make_it_meanwhile)
    with pytest.raises(Conflict) as caught:
        write(root, "f", b"mine", None)
    assert caught.value.details == {"path": "f", "etag": content_etag(b"theirs")}
    assert (root / "f").read_bytes() == b"theirs"
    assert os.listdir(root) == ["f"]


def test_what_an_earlier_try_of_the_same_request_left_is_in_nobodys_way(root: Path) -> None:
    (root / TEMPORARY).write_bytes(b"half of")
    write(root, "f", b"all of it")
    assert (root / "f").read_bytes() == b"all of it"
    assert os.listdir(root) == ["f"]
