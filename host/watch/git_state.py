"""Where a project's repository keeps HEAD, index and refs, and whether they changed. Nothing is read out but that."""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from stat import S_ISDIR, S_ISREG
from typing import Final

# Of one repository: a hostile one must not make us watch half the disk.
MAX_REF_DIRECTORIES: Final = 1000
_MAX_REFS_COMPARED: Final = 10_000
_MAX_POINTER_BYTES: Final = 4096
_READ: Final = os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC

_OF_WORKTREE: Final = ("HEAD", "index")
_OPERATIONS: Final = ("MERGE_HEAD", "CHERRY_PICK_HEAD", "REVERT_HEAD", "BISECT_LOG", "rebase-merge", "rebase-apply")
_OF_ALL: Final = ("packed-refs", "reftable", "refs")
_STATE: Final = frozenset({*_OF_WORKTREE, *_OPERATIONS, *_OF_ALL})
_REF_DIRECTORIES: Final = ("refs", "reftable")

Signature = tuple[tuple[str, int, int, int], ...]


@dataclass(frozen=True, slots=True)
class Repository:
    """``git_dir`` has HEAD and the index, ``common_dir`` the refs: another one for a linked worktree."""

    git_dir: Path
    common_dir: Path

    def ref_directories(self) -> Iterator[Path]:
        """Those that hold refs, the upper ones first. Links are not followed."""
        for name in _REF_DIRECTORIES:
            yield from directories_below(self.common_dir / name)


def is_state(name: str) -> bool:
    """Whether an entry of a repository's own directory is part of what is shown of it."""
    return name in _STATE


def find_repository(root: Path) -> Repository | None:
    """The repository that the project is, or lies in."""
    for directory in (root, *root.parents):
        git_dir = _git_dir(directory)
        # The project's own may be about to be made; what a file names has to be a repository.
        is_own = directory == root and os.path.isdir(root / ".git")
        if git_dir is not None and (is_own or os.path.lexists(git_dir / "HEAD")):
            return Repository(git_dir, _common_dir(git_dir))
    return None


def directories_below(top: Path) -> Iterator[Path]:
    waiting = [top]
    for _ in range(MAX_REF_DIRECTORIES):
        if not waiting:
            return
        directory = waiting.pop()
        try:
            if not S_ISDIR(os.lstat(directory).st_mode):
                continue
            with os.scandir(directory) as entries:
                waiting.extend(Path(entry.path) for entry in entries if entry.is_dir(follow_symlinks=False))
        except OSError:
            continue
        yield directory


def signature_of(repository: Repository) -> Signature:
    """Another one whenever HEAD, the index, refs or the operation under way changed."""
    own = [repository.git_dir / name for name in (*_OF_WORKTREE, *_OPERATIONS)]
    return tuple(filter(None, map(_mark, [*own, repository.common_dir / "packed-refs", *_refs(repository)])))


def _refs(repository: Repository) -> list[Path]:
    found: list[Path] = []
    for directory in repository.ref_directories():
        try:
            found.extend(directory / name for name in sorted(os.listdir(directory)))
        except OSError:
            continue
        if len(found) > _MAX_REFS_COMPARED:
            break
    return found[:_MAX_REFS_COMPARED]


def _mark(path: Path) -> tuple[str, int, int, int] | None:
    try:
        status = os.lstat(path)
    except OSError:
        return None
    if S_ISDIR(status.st_mode):
        return str(path), 0, 0, 0
    return str(path), status.st_mtime_ns, status.st_size, status.st_ino


def _git_dir(directory: Path) -> Path | None:
    """See gitrepository-layout(5): ``.git`` is a directory, or a file that names one."""
    entry = directory / ".git"
    try:
        if S_ISDIR(os.stat(entry).st_mode):
            return _real(entry)
    except OSError:
        return None
    pointer = _pointer(entry)
    return _real(directory / pointer.removeprefix("gitdir:").strip()) if pointer.startswith("gitdir:") else None


def _common_dir(git_dir: Path) -> Path:
    pointer = _pointer(git_dir / "commondir").strip()
    return _real(git_dir / pointer) if pointer else git_dir


def _real(path: Path) -> Path:
    return Path(os.path.realpath(path))


def _pointer(file: Path) -> str:
    """The text of a small regular file; empty for anything else."""
    try:
        descriptor = os.open(file, _READ)
    except OSError:
        return ""
    try:
        raw = os.read(descriptor, _MAX_POINTER_BYTES + 1) if S_ISREG(os.fstat(descriptor).st_mode) else b""
    except OSError:
        return ""
    finally:
        os.close(descriptor)
    return os.fsdecode(raw) if len(raw) <= _MAX_POINTER_BYTES and b"\0" not in raw else ""
