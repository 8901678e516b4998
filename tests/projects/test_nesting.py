"""How a directory stands to the registered ones."""

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from host.db.projects import Project
from host.projects.nesting import find_overlap


def project(path: Path) -> Project:
    return Project("proj_0123456789abcdef", "name", path, "at", "at")


def relation(new: Path, *registered: Path) -> str | None:
    overlap = find_overlap(new, [project(path) for path in registered])
    return overlap.relation if overlap else None


def test_paths_compare_by_components_not_by_letters() -> None:
    assert relation(Path("/missing/a/bc"), Path("/missing/a/b")) is None
    assert relation(Path("/missing/a/b"), Path("/missing/a/bc")) is None
    assert relation(Path("/missing/a/b/c"), Path("/missing/a/b")) == "inside"
    assert relation(Path("/missing/a"), Path("/missing/a/b")) == "around"
    assert relation(Path("/missing/a"), Path("/missing/a")) == "same"


def test_the_file_systems_root_is_around_everything() -> None:
    assert relation(Path("/"), Path("/missing/a")) == "around"
    assert relation(Path("/missing/a"), Path("/")) == "inside"


def test_the_same_directory_by_another_spelling_is_recognised_by_its_identity(tmp_path: Path) -> None:
    # A link that was not resolved stands for what a case-insensitive file system does with names.
    (tmp_path / "Shop" / "web").mkdir(parents=True)
    (tmp_path / "SHOP").symlink_to("Shop")
    assert relation(tmp_path / "SHOP", tmp_path / "Shop") == "same"
    assert relation(tmp_path / "SHOP" / "web", tmp_path / "Shop") == "inside"
    assert relation(tmp_path / "Shop", tmp_path / "SHOP" / "web") == "around"


def test_the_same_one_counts_before_a_neighbour_that_overlaps() -> None:
    a, b = Path("/missing/a"), Path("/missing/a/b")
    assert relation(b, a, b) == "same"


@pytest.fixture
def bind_mount(tmp_path: Path) -> Iterator[tuple[Path, Path]]:
    source, mounted = tmp_path / "source", tmp_path / "mounted"
    (source / "web").mkdir(parents=True)
    mounted.mkdir()
    if os.geteuid() != 0:
        pytest.skip("a bind mount needs root")
    done = subprocess.run(["mount", "--bind", source, mounted], check=False, capture_output=True)
    if done.returncode != 0:
        pytest.skip("a bind mount is not allowed here")
    yield source, mounted
    subprocess.run(["umount", mounted], check=True)


def test_a_bind_mount_is_seen_through(bind_mount: tuple[Path, Path]) -> None:
    source, mounted = bind_mount
    assert relation(mounted, source) == "same"
    assert relation(mounted / "web", source) == "inside"
    assert relation(source, mounted / "web") == "around"
