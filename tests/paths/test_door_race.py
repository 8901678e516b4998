"""Directories and links that change places while a path is followed."""

import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from host.paths.door import Door, OpenBeneath
from host.paths.relative import parse_path
from host.protocol.errors import ProtocolError

_DURATION_S = 0.2


@contextmanager
def swapping(root: Path) -> Iterator[None]:
    """``root/d`` is by turns a directory and a link to the outside."""
    ended = threading.Event()

    def swap() -> None:
        while not ended.is_set():
            os.rename(root / "d", root / "kept")
            os.rename(root / "link", root / "d")
            os.rename(root / "d", root / "link")
            os.rename(root / "kept", root / "d")

    thread = threading.Thread(target=swap)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


def attempts_while_swapping(root: Path, attempt: Callable[[], object]) -> tuple[int, int]:
    """How many of the attempts went through, and how many were refused."""
    (root / "d").mkdir()
    (root / "d/secret").write_text("inside")
    (root / "link").symlink_to("../outside")
    through = refused = 0
    with swapping(root):
        end = time.monotonic() + _DURATION_S
        while time.monotonic() < end or not (through and refused):
            try:
                attempt()
                through += 1
            except ProtocolError:
                refused += 1
    return through, refused


def test_no_read_gets_an_outside_byte(root: Path, open_beneath: OpenBeneath) -> None:
    seen = set()

    def attempt() -> None:
        with Door(root, open_beneath) as door, door.file(parse_path("d/secret")) as file:
            seen.add(os.read(file.descriptor, 10))

    attempts_while_swapping(root, attempt)
    assert seen == {b"inside"}


def test_no_listing_shows_the_outside(root: Path, open_beneath: OpenBeneath) -> None:
    (root.parent / "outside/only outside").touch()
    seen: set[str] = set()

    def attempt() -> None:
        with Door(root, open_beneath) as door, door.directory(parse_path("d")) as directory:
            seen.update(os.listdir(directory))

    attempts_while_swapping(root, attempt)
    assert seen == {"secret"}


def test_no_place_is_outside(root: Path) -> None:
    def attempt() -> None:
        with Door(root) as door, door.place(parse_path("d/f")) as place:
            # While d is away for a moment, its name is free; making it would stop the swapping.
            if not place.lacks_parents:
                os.close(os.open(place.name, os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW, dir_fd=place.parent))

    attempts_while_swapping(root, attempt)
    assert os.listdir(root.parent / "outside") == ["secret"]
    assert (root / "d/f").exists()
