"""Whether a directory is a registered project's, or lies inside or around one."""

import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from host.db.projects import Project

Relation = Literal["same", "inside", "around"]
_Identity = tuple[int, int]


@dataclass(frozen=True)
class Overlap:
    """How the new directory stands to ``project``."""

    relation: Relation
    project: Project


def find_overlap(real_path: Path, projects: Iterable[Project]) -> Overlap | None:
    """Compare a real path with the registered ones, by names and by (device, inode) of the directories above.

    The latter sees through case-insensitive file systems and bind mounts. A registered
    directory that is gone is compared by name alone. Touches the file system.
    """
    line = _line(real_path)
    overlaps = (_overlap(line, project) for project in projects)
    found = [overlap for overlap in overlaps if overlap is not None]
    return next((overlap for overlap in found if overlap.relation == "same"), found[0] if found else None)


def _overlap(line: "_Line", project: Project) -> Overlap | None:
    other = _line(project.path)
    if line.tip & other.tip:
        return Overlap("same", project)
    if line.above & other.tip:
        return Overlap("inside", project)
    if other.above & line.tip:
        return Overlap("around", project)
    return None


@dataclass(frozen=True)
class _Line:
    """A directory and all above it, each as its path and, where it can be told, its identity."""

    tip: frozenset[Path | _Identity]
    above: frozenset[Path | _Identity]


def _line(path: Path) -> _Line:
    return _Line(_marks(path), frozenset().union(*(_marks(parent) for parent in path.parents)))


def _marks(path: Path) -> frozenset[Path | _Identity]:
    try:
        status = os.stat(path)
    except OSError:
        return frozenset((path,))
    # Some network file systems have no inode numbers, and call all of them 0.
    return frozenset((path, (status.st_dev, status.st_ino)) if status.st_ino else (path,))
