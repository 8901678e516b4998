"""A directory and a link to the outside change places while files are read and changed."""

import ctypes
import os
import shutil
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from host.files.creating import create_directory
from host.files.deleting import delete
from host.files.etags import StatEtags
from host.files.listing import list_directory
from host.files.locks import StripedLocks
from host.files.moving import move
from host.files.reading import read_file
from host.files.temporary import temporary_name
from host.files.writing import FileWriter
from host.paths.door import Door, OpenBeneath
from host.paths.openat2 import is_supported, open_by_openat2
from host.paths.relative import parse_path
from host.paths.walk import open_by_walk
from host.protocol.errors import ProtocolError

if sys.platform != "linux":
    pytest.skip("Two names are exchanged at one stroke, which only Linux does.", allow_module_level=True)

_AT_FDCWD = -100
_EXCHANGE = 2
_libc = ctypes.CDLL(None, use_errno=True)
WRITER = FileWriter()
LOCKS = StripedLocks()
PATIENCE_S = 10.0

pytestmark = [
    pytest.mark.usefixtures("no_descriptor_is_left_open"),
    pytest.mark.parametrize("duration_s", [0.2, pytest.param(10.0, marks=pytest.mark.slow)]),
]


@pytest.fixture
def outside(root: Path) -> Iterator[Path]:
    """What is outside, with a name for everything that is asked for inside; it must stay as it is."""
    outside = root.parent / "outside"
    (outside / "sub/deeper").mkdir(parents=True)
    for path in ("f", "sub/f", "sub/deeper/f"):
        (outside / path).write_text("outside")
    before = snapshot(outside)
    yield outside
    assert snapshot(outside) == before


def snapshot(directory: Path) -> dict[str, tuple[int, int, bytes]]:
    """Every path below, with mode, time of change, and content."""
    found = {}
    for path in (directory, *directory.rglob("*")):
        status = path.lstat()
        found[str(path)] = (status.st_mode, status.st_mtime_ns, b"" if path.is_dir() else path.read_bytes())
    return found


@contextmanager
def swapping(one: Path, other: Path) -> Iterator[None]:
    """The two names exchange what they are of, all the time; while one of them is missing, nothing happens."""
    ended = threading.Event()
    names = os.fsencode(one), os.fsencode(other)

    def swap() -> None:
        while not ended.is_set():
            _libc.renameat2(_AT_FDCWD, names[0], _AT_FDCWD, names[1], _EXCHANGE)

    thread = threading.Thread(target=swap)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


def attempts(duration_s: float, attempt: Callable[[], object]) -> None:
    """Try again and again, until some went through and some were refused."""
    through = refused = 0
    end_s = time.monotonic() + duration_s
    while time.monotonic() < end_s or (not (through and refused) and time.monotonic() < end_s + PATIENCE_S):
        try:
            attempt()
            through += 1
        except ProtocolError:
            refused += 1
    assert through
    assert refused


def make_inside(root: Path) -> None:
    """``d`` is like the outside, and ``link`` leads there."""
    (root / "d/sub/deeper").mkdir(parents=True)
    for path in ("f", "sub/f", "sub/deeper/f"):
        (root / "d" / path).write_text("inside")
    (root / "link").symlink_to("../outside")


@pytest.fixture(params=["openat2", "walk"])
def open_beneath(request: pytest.FixtureRequest) -> OpenBeneath:
    if request.param == "walk":
        return open_by_walk
    if not is_supported():
        pytest.skip("This kernel, or what confines this process, does not offer openat2.")
    return open_by_openat2


def test_no_read_tells_of_the_outside(root: Path, outside: Path, open_beneath: OpenBeneath, duration_s: float) -> None:
    make_inside(root)
    seen: set[bytes] = set()

    def attempt() -> None:
        with Door(root, open_beneath) as door:
            path = parse_path("d/sub/f")
            seen.add(bytes(read_file(door, path, offset=None, length=None, stat_etags=StatEtags()).content))

    with swapping(root / "d", root / "link"):
        attempts(duration_s, attempt)
    assert seen == {b'"inside"'}


def test_no_listing_tells_of_the_outside(
    root: Path, outside: Path, open_beneath: OpenBeneath, duration_s: float
) -> None:
    make_inside(root)
    (root / "d/sub/inside only").touch()
    seen: set[tuple[str, ...]] = set()

    def attempt() -> None:
        with Door(root, open_beneath) as door:
            children = list_directory(door, parse_path("d/sub"), depth=3).children
            seen.add(tuple(entry.name for entry in children))

    with swapping(root / "d", root / "link"):
        attempts(duration_s, attempt)
    assert seen == {("deeper", "f", "inside only")}


def test_no_write_reaches_the_outside(root: Path, outside: Path, duration_s: float) -> None:
    make_inside(root)
    number = 0

    def attempt() -> None:
        nonlocal number
        number += 1
        path = ("d/sub/f", f"d/new{number % 50}", f"d/sub/made{number % 50}/f")[number % 3]
        with Door(root) as door:
            temporary = temporary_name("user", "request")
            WRITER.write(door, parse_path(path), b"inside", temporary=temporary, create_dirs=True)

    with swapping(root / "d", root / "link"):
        attempts(duration_s, attempt)
    assert not list(root.rglob(".pocketcoder-*"))


def test_no_directory_is_made_outside(root: Path, outside: Path, duration_s: float) -> None:
    make_inside(root)
    number = 0

    def attempt() -> None:
        nonlocal number
        number += 1
        with Door(root) as door:
            create_directory(door, parse_path(f"d/sub/new{number % 200}/a/b"), umask=0o022)

    with swapping(root / "d", root / "link"):
        attempts(duration_s, attempt)


def test_no_move_crosses_to_the_outside(root: Path, outside: Path, duration_s: float) -> None:
    make_inside(root)
    (root / "kept").mkdir()
    pairs = [("d/sub/f", "kept/f"), ("d/f", "d/sub/g"), ("d/sub", "kept/sub")]
    ways = [way for one, other in pairs for way in ((one, other), (other, one))]
    number = 0

    def attempt() -> None:
        nonlocal number
        number += 1
        source, to = ways[number % len(ways)]
        with Door(root) as door:
            move(door, parse_path(source), parse_path(to), overwrite=number % 2 == 0, locks=LOCKS)

    with swapping(root / "d", root / "link"):
        attempts(duration_s, attempt)
    files = [path for path in root.rglob("*") if path.is_file() and not path.is_symlink()]
    assert {path.read_text() for path in files} == {"inside"}
    assert len(files) <= 3


@pytest.mark.parametrize("path", ["d/sub", "d/f"])
def test_no_deletion_reaches_the_outside(root: Path, outside: Path, duration_s: float, path: str) -> None:
    make_inside(root)
    shutil.copytree(root / "d", root / "original")

    def attempt() -> None:
        with Door(root) as door:
            delete(door, parse_path(path), recursive=True, locks=LOCKS)
        inside = root / ("link" if (root / "d").is_symlink() else "d")
        # While they change places, that may be the wrong one: then nothing is put back this time.
        if not inside.is_symlink():
            put_back(root / "original", inside)

    with swapping(root / "d", root / "link"):
        attempts(duration_s, attempt)


def put_back(original: Path, directory: Path) -> None:
    """Copy through a descriptor that is no link, so that the test itself never writes to the outside."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        if os.stat(descriptor).st_ino == os.stat(original.parent.parent / "outside").st_ino:
            return
        place = f"/proc/self/fd/{descriptor}"
        shutil.copytree(original, place, dirs_exist_ok=True)
    finally:
        os.close(descriptor)


def test_no_deletion_of_a_whole_tree_is_led_outside(root: Path, outside: Path, duration_s: float) -> None:
    """What changes places lies inside the directory that is deleted."""

    def attempt() -> None:
        for left in ("t", "other"):
            place = root / left
            if place.is_symlink():
                place.unlink()
            else:
                shutil.rmtree(place, ignore_errors=True)
        (root / "t/d/sub/deeper").mkdir(parents=True)
        for number in range(20):
            (root / f"t/d/sub/{number}").touch()
        (root / "t/d/sub/deeper/f").touch()
        (root / "other").symlink_to("../outside")
        with swapping(root / "t/d", root / "other"), Door(root) as door:
            delete(door, parse_path("t"), recursive=True, locks=LOCKS)

    end_s = time.monotonic() + duration_s
    gone = 0
    while time.monotonic() < end_s or not gone:
        try:
            attempt()
        except ProtocolError:
            continue
        assert not (root / "t").exists()
        gone += 1
