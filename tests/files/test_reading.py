"""fs_read (docs/protocol.md, "Files")."""

import base64
import hashlib
import json
import os
from pathlib import Path

import msgspec
import pytest

from host.files.content import read_up_to
from host.files.etags import StatEtags
from host.files.reading import read_file
from host.files.times import modified_at
from host.paths.door import Door
from host.paths.relative import parse_path
from host.protocol.errors import FileNotFound, FileTooLarge, InvalidRequest, OutsideProjectRoot
from host.protocol.limits import MAX_READ_BYTES, MAX_TEXT_JSON_BYTES
from host.protocol.messages.base import encode_payload
from host.protocol.messages.files import FsReadResponse

TIB = 2**40


def read(root: Path, path: str, offset: int | None = None, length: int | None = None) -> FsReadResponse:
    with Door(root) as door:
        return read_file(door, parse_path(path), offset=offset, length=length, stat_etags=StatEtags())


def content(response: FsReadResponse) -> bytes:
    text: str = msgspec.json.decode(response.content)
    return base64.b64decode(text) if response.encoding == "base64" else text.encode()


def test_a_text_is_read_whole(root: Path) -> None:
    (root / "f").write_text("Grüße\n")
    response = read(root, "f")
    assert json.loads(bytes(encode_payload(response))) == {
        "path": "f",
        "content": "Grüße\n",
        "encoding": "utf-8",
        "size": 8,
        "modifiedAt": modified_at((root / "f").stat().st_mtime_ns),
        "etag": "sha256:" + hashlib.sha256("Grüße\n".encode()).hexdigest(),
        "offset": 0,
        "eof": True,
    }


@pytest.mark.parametrize("raw", [b"\xff\xfe", b"a\0b", "ä".encode()[:1], b"\xed\xa0\x80"])
def test_what_is_no_text_comes_as_base64(root: Path, raw: bytes) -> None:
    (root / "f").write_bytes(raw)
    response = read(root, "f")
    assert response.encoding == "base64"
    assert content(response) == raw


def test_an_empty_file_is_a_text(root: Path) -> None:
    (root / "f").touch()
    response = read(root, "f")
    assert (content(response), response.encoding, response.eof) == (b"", "utf-8", True)


@pytest.mark.parametrize(
    ("offset", "length", "expected", "eof"),
    [
        (0, 3, b"012", False),
        (3, None, b"3456789", True),
        (None, 4, b"0123", False),
        (8, 5, b"89", True),
        (10, 5, b"", True),
        (2**62, 5, b"", True),
        (2**63 - 1, MAX_READ_BYTES, b"", True),
        (3, 0, b"", False),
        (0, 10, b"0123456789", True),
    ],
)
def test_a_range_is_read(root: Path, offset: int | None, length: int | None, expected: bytes, eof: bool) -> None:
    (root / "f").write_bytes(b"0123456789")
    response = read(root, "f", offset, length)
    assert (content(response), response.offset, response.size, response.eof) == (expected, offset or 0, 10, eof)


def test_a_range_that_cuts_a_character_comes_as_base64(root: Path) -> None:
    (root / "f").write_text("aä")
    assert read(root, "f", 0, 2).encoding == "base64"
    assert read(root, "f", 1, 2).encoding == "utf-8"


def test_a_range_has_the_etag_of_the_whole_file(root: Path) -> None:
    (root / "f").write_bytes(b"0123456789")
    whole = read(root, "f").etag
    assert read(root, "f", 2, 3).etag == whole
    (root / "f").write_bytes(b"012345678x")
    assert read(root, "f", 2, 3).etag != whole


def test_the_largest_file_is_read_whole_and_one_byte_more_is_too_large(root: Path) -> None:
    (root / "f").write_bytes(b"x" * MAX_READ_BYTES)
    assert len(content(read(root, "f"))) == MAX_READ_BYTES
    with (root / "f").open("ab") as file:
        file.write(b"x")
    with pytest.raises(FileTooLarge) as caught:
        read(root, "f")
    assert caught.value.details == {"path": "f", "size": MAX_READ_BYTES + 1}
    assert len(content(read(root, "f", 0, MAX_READ_BYTES))) == MAX_READ_BYTES


def test_a_text_whose_json_is_too_long_comes_as_base64(root: Path) -> None:
    raw = b"\x01" * (MAX_TEXT_JSON_BYTES // 6 + 1)
    (root / "f").write_bytes(raw)
    response = read(root, "f")
    assert response.encoding == "base64"
    assert content(response) == raw
    (root / "f").write_bytes(raw[:-1])
    assert read(root, "f").encoding == "utf-8"


def test_any_part_of_a_file_of_a_tebibyte_is_read(root: Path) -> None:
    with (root / "f").open("wb") as file:
        file.truncate(TIB)
        file.seek(TIB - 3)
        file.write(b"end")
    with pytest.raises(FileTooLarge):
        read(root, "f")
    response = read(root, "f", TIB - 5)
    assert (content(response), response.size, response.eof) == (b"\0\0end", TIB, True)
    assert not read(root, "f", TIB // 2, 10).eof


def test_a_large_files_etag_changes_with_each_write_however_fast(root: Path) -> None:
    with (root / "f").open("wb") as file:
        file.truncate(MAX_READ_BYTES + 1)
    seen = set()
    for number in range(5):
        seen.add(read(root, "f", 0, 1).etag)
        with (root / "f").open("r+b") as file:
            file.write(bytes([number + 1]))
    assert len(seen) == 5


def test_a_large_file_at_rest_keeps_its_etag(root: Path) -> None:
    with (root / "f").open("wb") as file:
        file.truncate(MAX_READ_BYTES + 1)
    assert read(root, "f", 0, 1).etag == read(root, "f", 5, 1).etag


def test_files_that_report_no_size_are_read_to_their_end() -> None:
    # A bind mount would need rights; the kernel's own files make a project just as well.
    if not Path("/proc/self/status").exists():
        pytest.skip("This system has no /proc.")
    response = read(Path("/proc/sys/kernel"), "ostype")
    assert content(response) == b"Linux\n"
    assert (response.size, response.eof) == (6, True)


def test_a_file_that_reports_no_size_is_read_no_further_than_asked() -> None:
    if not Path("/proc/kallsyms").exists():
        pytest.skip("This system has no /proc/kallsyms.")
    length = 200_000  # more than is read at once
    with Path("/proc/kallsyms").open("rb") as file:
        assert read_up_to(file.fileno(), 0, length) == file.read(length)


def test_only_regular_files_are_read(root: Path) -> None:
    (root / "d").mkdir()
    os.mkfifo(root / "fifo")
    for path in ("d", "fifo", ""):
        with pytest.raises(InvalidRequest):
            read(root, path)


def test_what_is_not_there_is_not_found_and_what_is_outside_is_outside(root: Path) -> None:
    (root / "l").symlink_to("../outside/secret")
    with pytest.raises(FileNotFound):
        read(root, "missing")
    with pytest.raises(OutsideProjectRoot):
        read(root, "l")


def test_git_can_be_read(root: Path) -> None:
    (root / ".git").mkdir()
    (root / ".git/HEAD").write_text("ref: refs/heads/main\n")
    assert content(read(root, ".git/HEAD")) == b"ref: refs/heads/main\n"


def test_a_young_stat_is_waited_for_and_one_that_stays_young_matches_nothing(root: Path) -> None:
    file = root / "f"
    file.touch()
    waits: list[float] = []
    ctime_ns = file.stat().st_ctime_ns
    tokens = iter("ab")
    etags = StatEtags(now_ns=lambda: ctime_ns + 5_000_000, sleep=waits.append, token=lambda: next(tokens))
    descriptor = os.open(file, os.O_RDONLY)
    try:
        first, second = etags.of_open_file(descriptor), etags.of_open_file(descriptor)
    finally:
        os.close(descriptor)
    assert waits == [0.015, 0.015]
    assert first != second
