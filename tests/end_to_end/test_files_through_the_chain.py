"""Files of every size and name, from the disk to the phone and back, at the limits of the contract."""

import base64
import os
from pathlib import Path
from typing import Final

import pytest

from tests.end_to_end.served import Phone, Served

pytestmark = pytest.mark.slow

MIB: Final = 1024 * 1024


async def test_a_directory_of_10_000_files_is_listed_read_and_written(served: Served, phone: Phone) -> None:
    names = [f"file-{number:05d}.txt" for number in range(10_000)]
    (served.root / "many").mkdir()
    for name in names:
        (served.root / "many" / name).write_text(name)
    listing = await phone.list("many")
    assert [entry["name"] for entry in listing["children"]] == names
    assert listing["truncated"] is False
    read = await phone.read("many/file-09999.txt")
    assert read["content"] == "file-09999.txt"
    await phone.write("many/file-09999.txt", "changed", ifMatch=read["etag"])
    assert (await phone.read("many/file-09999.txt"))["content"] == "changed"
    await phone.write("many/one-more.txt", "")
    cut = await phone.list("many")
    assert [entry["name"] for entry in cut["children"]] == names
    assert cut["truncated"] is True


async def test_10_mb_are_read_at_once_and_one_byte_more_in_ranges(served: Served, phone: Phone) -> None:
    text = ("0123456789abcde\n" * (10 * MIB // 16)).encode()
    (served.root / "ten.txt").write_bytes(text)
    read = await phone.read("ten.txt")
    assert (read["encoding"], read["size"], read["eof"]) == ("utf-8", 10 * MIB, True)
    assert read["content"].encode() == text

    (served.root / "more.txt").write_bytes(text + b"!")
    assert await phone.refusal("fs_read", path="more.txt") == "FILE_TOO_LARGE"
    assert await phone.refusal("fs_read", path="more.txt", length=10 * MIB + 1) == "INVALID_REQUEST"
    first = await phone.read("more.txt", offset=0, length=10 * MIB)
    last = await phone.read("more.txt", offset=10 * MIB)
    assert (first["content"].encode(), first["eof"]) == (text, False)
    assert (last["content"], last["eof"], last["offset"]) == ("!", True, 10 * MIB)
    assert first["etag"] == last["etag"]


@pytest.mark.parametrize("size", [10 * MIB, 10 * MIB - 1])
async def test_10_mb_of_bytes_that_are_no_text_come_as_base64(served: Served, phone: Phone, size: int) -> None:
    content = os.urandom(size)
    (served.root / "random.bin").write_bytes(content)
    read = await phone.read("random.bin")
    assert read["encoding"] == "base64"
    assert base64.b64decode(read["content"], validate=True) == content


@pytest.mark.parametrize(("size", "encoding"), [(2 * MIB, "utf-8"), (3 * MIB, "base64"), (10 * MIB, "base64")])
async def test_control_characters_come_as_text_until_their_json_is_too_large(
    served: Served, phone: Phone, size: int, encoding: str
) -> None:
    content = "\x01\x1b" * (size // 2)
    (served.root / "control.txt").write_bytes(content.encode())
    read = await phone.read("control.txt")
    assert read["encoding"] == encoding
    received = read["content"].encode() if encoding == "utf-8" else base64.b64decode(read["content"])
    assert received == content.encode()


@pytest.mark.parametrize("text", ["x", "\x01", "€", "😀"])
async def test_1_mb_is_written_as_text_and_one_character_more_is_refused(
    served: Served, phone: Phone, text: str
) -> None:
    size = len(text.encode())
    content = text * (1 * MIB // size)
    await phone.write("written.txt", content)
    assert (served.root / "written.txt").read_bytes() == content.encode()
    too_large = content + text
    assert await phone.refusal("fs_write", path="written.txt", content=too_large) == "FILE_TOO_LARGE"
    assert (served.root / "written.txt").read_bytes() == content.encode()


async def test_1_mb_of_any_bytes_is_written_as_base64(served: Served, phone: Phone) -> None:
    content = os.urandom(1 * MIB)
    written = await phone.write("bytes.bin", base64.b64encode(content).decode(), encoding="base64")
    assert written["size"] == 1 * MIB
    assert (served.root / "bytes.bin").read_bytes() == content
    larger = base64.b64encode(content + b"!").decode()
    assert await phone.refusal("fs_write", path="bytes.bin", content=larger, encoding="base64") == "FILE_TOO_LARGE"
    torn = base64.b64encode(content).decode()[:-3]
    assert await phone.refusal("fs_write", path="bytes.bin", content=torn, encoding="base64") == "INVALID_REQUEST"
    assert (served.root / "bytes.bin").read_bytes() == content


HOSTILE_NAMES: Final = [
    b"-rf",
    b"new\nline",
    b"tab\tand \x1b[31mcolour",
    b"quote\"'`$(reboot)",
    b"back\\slash",
    b"\xff\xfe not utf-8",
    b"half \xc3",
    b"100%25",
    b"%FF",
    b"...",
    b" ",
    b"\xef\xbb\xbfmark",
    "right-to-left \u202etxt.exe".encode(),
    "Gru\u0308\u00dfe \U0001f600".encode(),
    b"n" * 255,
    b"a:b*c?d<e>f|g",
]


async def test_hostile_names_are_listed_read_and_written_by_what_the_listing_says(served: Served, phone: Phone) -> None:
    directory = os.fsencode(served.root / "hostile")
    os.mkdir(directory)
    for number, name in enumerate(HOSTILE_NAMES):
        Path(os.fsdecode(os.path.join(directory, name))).write_text(f"file {number}")
    listing = await phone.list("hostile")
    assert len(listing["children"]) == len(HOSTILE_NAMES)
    contents = {entry["name"]: (await phone.read(entry["path"]))["content"] for entry in listing["children"]}
    assert sorted(contents.values()) == sorted(f"file {number}" for number in range(len(HOSTILE_NAMES)))
    escaped = {entry["name"] for entry in listing["children"] if entry.get("nameEncoded")}
    assert escaped == {"%FF%FE not utf-8", "half %C3"}
    for entry in listing["children"]:
        await phone.write(entry["path"], f"{contents[entry['name']]}, changed")
    found = {name: Path(os.fsdecode(os.path.join(directory, name))).read_text() for name in os.listdir(directory)}
    assert found == {name: f"file {number}, changed" for number, name in enumerate(HOSTILE_NAMES)}


async def test_what_is_outside_the_project_is_out_of_reach(served: Served, phone: Phone) -> None:
    secret = served.root.parent / "secret.txt"
    secret.write_text("secret")
    (served.root / "link").symlink_to(secret)
    (served.root / "gone").symlink_to(served.root.parent / "nothing")
    for path in ("../secret.txt", "src/../../secret.txt", str(secret), "link", "gone", "..", "/"):
        assert await phone.refusal("fs_read", path=path) == "OUTSIDE_PROJECT_ROOT", path
        assert await phone.refusal("fs_write", path=path, content="mine") == "OUTSIDE_PROJECT_ROOT", path
    assert secret.read_text() == "secret"
