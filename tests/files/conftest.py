"""What the tests of files share."""

import os
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import pytest

_NOBODY = 65534


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A project beside something that it must never reach."""
    project = tmp_path / "project"
    project.mkdir()
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside/secret").write_text("secret")
    return project


@pytest.fixture
def shared_root() -> Iterator[Path]:
    """A project that users without any rights can reach: pytest's own directories are private."""
    with tempfile.TemporaryDirectory() as directory:
        os.chmod(directory, 0o755)
        project = Path(directory) / "project"
        project.mkdir()
        yield project


@pytest.fixture
def without_rights() -> Callable[[], AbstractContextManager[None]]:
    """A context in which this process is nobody, if it is root: to root, no permission matters."""
    return _as_nobody if os.geteuid() == 0 else _as_ourselves


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 64 KiB."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(disk)], capture_output=True, check=False
    )
    if mounted.returncode:
        pytest.skip("Nothing can be mounted here; the failing writes below show the same without a disk.")
    yield disk
    subprocess.run(["umount", str(disk)], check=True)


@pytest.fixture
def no_descriptor_is_left_open() -> Iterator[None]:
    before = len(os.listdir("/dev/fd"))
    yield
    assert len(os.listdir("/dev/fd")) == before


@contextmanager
def _as_nobody() -> Iterator[None]:
    os.seteuid(_NOBODY)
    try:
        yield
    finally:
        os.seteuid(0)


@contextmanager
def _as_ourselves() -> Iterator[None]:
    yield
