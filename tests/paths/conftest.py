"""What the tests of the door share."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from host.paths.door import OpenBeneath
from host.paths.openat2 import is_supported, open_by_openat2
from host.paths.walk import open_by_walk


@pytest.fixture(params=[open_by_openat2, open_by_walk], ids=["openat2", "walk"])
def open_beneath(request: pytest.FixtureRequest) -> OpenBeneath:
    """Each way of opening in turn: all promise the same."""
    if request.param is open_by_openat2 and not is_supported():
        pytest.skip("This kernel, or what confines this process, does not offer openat2.")
    adapter: OpenBeneath = request.param
    return adapter


@pytest.fixture(autouse=True)
def no_descriptor_is_left_open() -> Iterator[None]:
    before = _open_descriptors()
    yield
    assert _open_descriptors() == before


def _open_descriptors() -> set[str]:
    listed = "/proc/self/fd" if Path("/proc/self/fd").exists() else "/dev/fd"
    # The listing's own descriptor is the one that is closed by now.
    return {name for name in os.listdir(listed) if os.path.lexists(f"{listed}/{name}")}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A project between things that it must never reach."""
    project = tmp_path / "project"
    project.mkdir()
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "secret").write_text("secret")
    return project
