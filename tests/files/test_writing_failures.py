"""Disks that are full, read-only or broken: the old content stays, and nothing is left behind."""

import errno
import os
import subprocess
from pathlib import Path

import pytest

from host.files import renaming, storing
from host.files.temporary import temporary_name
from host.files.writing import FileWriter
from host.paths.door import Door
from host.paths.relative import parse_path
from host.protocol.errors import FileAccessFailed

OLD = b"old content"
NEW = b"n" * 100_000


def write(root: Path, path: str, content: bytes) -> None:
    with Door(root) as door:
        FileWriter().write(door, parse_path(path), content, temporary=temporary_name("user", "request"))


@pytest.mark.parametrize("hard_links", [1, 2])
def test_on_a_full_disk_the_old_content_stays(small_disk: Path, hard_links: int) -> None:
    (small_disk / "f").write_bytes(OLD)
    if hard_links == 2:
        os.link(small_disk / "f", small_disk / "g")
    before = sorted(os.listdir(small_disk))
    with pytest.raises(FileAccessFailed, match="no space") as caught:
        write(small_disk, "f", NEW)
    assert caught.value.details == {"reason": "noSpace", "path": "f"}
    assert (small_disk / "f").read_bytes() == OLD
    assert sorted(os.listdir(small_disk)) == before


def test_on_a_read_only_disk_nothing_changes(small_disk: Path) -> None:
    (small_disk / "f").write_bytes(OLD)
    subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
    for path in ("f", "new"):
        with pytest.raises(FileAccessFailed, match="read-only") as caught:
            write(small_disk, path, b"x")
        assert caught.value.details == {"reason": "readOnly", "path": path}
    assert (small_disk / "f").read_bytes() == OLD


@pytest.mark.parametrize("hard_links", [1, 2])
@pytest.mark.parametrize(
    ("code", "reason"),
    [
        (errno.ENOSPC, "noSpace"),
        (errno.EDQUOT, "noSpace"),
        (errno.EIO, "ioError"),
        (errno.EROFS, "readOnly"),
        (errno.EACCES, "permissionDenied"),
    ],
)
@pytest.mark.parametrize("old", [OLD, NEW + OLD], ids=["longer", "shorter"])
@pytest.mark.parametrize("step", ["write", "fsync"])
def test_when_writing_fails_midway_the_old_content_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, hard_links: int, code: int, reason: str, step: str, old: bytes
) -> None:
    new = b"x" * len(NEW)
    (tmp_path / "f").write_bytes(old)
    (tmp_path / "f").chmod(0o751)
    if hard_links == 2:
        os.link(tmp_path / "f", tmp_path / "g")
    before = sorted(os.listdir(tmp_path))
    write_all = storing._write_all

    def fail_halfway(descriptor: int, content: bytes) -> None:
        if content != new:
            write_all(descriptor, content)
            return
        write_all(descriptor, content[: len(content) // 2])
        raise OSError(code, os.strerror(code))

    def fail(_descriptor: int) -> None:
        raise OSError(code, os.strerror(code))

    if step == "write":
        monkeypatch.setattr(storing, "_write_all", fail_halfway)
    else:
        monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(FileAccessFailed) as caught:
        write(tmp_path, "f", new)
    assert caught.value.details == {"reason": reason, "path": "f"}
    assert (tmp_path / "f").read_bytes() == old
    assert (tmp_path / "f").stat().st_mode & 0o777 == 0o751
    assert sorted(os.listdir(tmp_path)) == before


@pytest.mark.parametrize("appears", [False, True])
@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EIO])
def test_when_a_new_file_cannot_be_put_in_place_nothing_is_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int, appears: bool
) -> None:
    """``appears``: a file of another program's is in its place by then."""

    def fail(*_: object) -> None:
        if appears:
            (tmp_path / "f").write_bytes(OLD)
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(renaming, "rename_by_kernel", fail)
    with Door(tmp_path) as door, pytest.raises(FileAccessFailed):
        FileWriter().write(door, parse_path("f"), NEW, temporary=temporary_name("user", "request"), if_match=None)
    assert os.listdir(tmp_path) == (["f"] if appears else [])


def test_what_a_person_is_told_holds_nothing_of_the_operating_system(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_descriptor: int) -> None:
        raise OSError(errno.EIO, "internal words")

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(FileAccessFailed) as caught:
        write(tmp_path, "f", b"x")
    assert "internal words" not in caught.value.message
    assert "try again" in caught.value.message


def test_failures_leave_no_descriptor(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_descriptor: int) -> None:
        raise OSError(errno.EIO, "Input/output error")

    (tmp_path / "f").touch()
    os.link(tmp_path / "f", tmp_path / "g")
    monkeypatch.setattr(os, "fsync", fail)
    before = len(os.listdir("/dev/fd"))
    for path in ("f", "new"):
        with pytest.raises(FileAccessFailed):
            write(tmp_path, path, b"x")
    assert len(os.listdir("/dev/fd")) == before
