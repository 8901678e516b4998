"""What the tests of files share."""

import os
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
