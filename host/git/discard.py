"""git_discard: throwing away what was changed and not staged."""

import os
from collections.abc import Callable, Collection, Sequence
from contextlib import suppress
from pathlib import Path
from stat import S_ISDIR
from threading import Event

from host.git.changing import Change
from host.git.parsing.rows import Row, choosers, is_chosen
from host.git.paths import shown_path
from host.git.staging import read_rows, refuse_conflicts
from host.paths.door import Door
from host.paths.failures import telling
from host.paths.relative import RelativePath
from host.protocol.errors import Conflict, DeletedInPart, FileAccessFailed, FileNotFound, InvalidRequest, ProtocolError


async def discard(change: Change, paths: Sequence[RelativePath]) -> None:
    """Make tracked files what the index holds, and delete untracked ones, at the paths and below them.

    What git ignores stays, and so do submodules and other repositories within this one. Raises Conflict for files in
    conflict, FileNotFound and InvalidRequest for paths where nothing can be discarded: nothing is changed then.
    Raises DeletedInPart where the file system refuses in the middle, and Conflict for what is to stay in the place of a
    file or of its directory: untracked files are gone then, and tracked ones as they were.
    """
    chosen = set(await change.find_paths(paths))
    rows = await read_rows(change, "--untracked-files=all", "--no-renames")
    refuse_conflicts(rows, chosen)
    root = change.repository.root
    await change.in_thread(lambda: _refuse_unknown(root, rows, chosen))
    changed = [row for row in rows if row.unstaged != "." and is_chosen(row.path, chosen)]
    _refuse_unfit(changed, chosen)
    # First: what git finds in its way it would delete with all that it ignores.
    await _delete(change, [row.path for row in changed if row.is_untracked and not row.is_repository], chosen)
    missing = [row.path for row in changed if row.unstaged == "D"]
    await change.in_thread(lambda: _refuse_obstacles(root, missing))
    tracked = [row.path for row in changed if not (row.is_untracked or row.is_repository)]
    if tracked:
        await change.run("restore", "--worktree", paths=tracked)


def _refuse_unknown(root: Path, rows: Collection[Row], chosen: Collection[bytes]) -> None:
    known = {name for row in rows for name in choosers(row.path, chosen)}
    with Door(root) as door:
        for name in sorted(set(chosen) - known - {b"."}):
            if _status(door, name) is None:
                path = shown_path(name)
                raise FileNotFound(f"{path} does not exist, and git does not know it. Ask for git_status.", path=path)


def _refuse_unfit(changed: Collection[Row], chosen: Collection[bytes]) -> None:
    for row in changed:
        path = shown_path(row.path)
        if row.is_repository and row.path in chosen:
            reason = f"{path} is a repository of its own. Change it on the machine."
            raise InvalidRequest.of_field("paths", reason)
        if row.unstaged == "A":
            reason = f"{path} is only announced to git (git add -N). Unstage it first."
            raise InvalidRequest.of_field("paths", reason)


async def _delete(change: Change, names: Sequence[bytes], chosen: Collection[bytes]) -> None:
    cancelled = Event()
    try:
        await change.in_thread(lambda: _delete_now(change.repository.root, names, chosen, cancelled.is_set))
    finally:
        cancelled.set()


def _delete_now(
    root: Path, names: Sequence[bytes], chosen: Collection[bytes], is_cancelled: Callable[[], bool]
) -> None:
    """Delete the files, and the directories at or below a chosen one that this leaves empty."""
    with Door(root) as door:
        for count, name in enumerate(names):
            if is_cancelled():
                return
            try:
                _unlink(door, name)
            except FileAccessFailed as exc:
                if count == 0:
                    raise
                raise DeletedInPart(f"Not all was discarded. {exc.message}", **exc.details) from exc
        parents = {parent for name in names for parent in _parents(name) if is_chosen(parent, chosen)}
        for parent in sorted(parents, key=len, reverse=True):
            # It may hold what git ignores, or be gone.
            with suppress(ProtocolError, OSError), door.entries({"paths": _path(parent)}) as (place,):
                os.rmdir(place.name, dir_fd=place.parent)


def _refuse_obstacles(root: Path, missing: Collection[bytes]) -> None:
    """Git would delete what it finds there."""
    parents = {parent for name in missing for parent in _parents(name)}
    with Door(root) as door:
        for name in sorted({*parents, *missing}):
            status = _status(door, name)
            if status is not None and S_ISDIR(status.st_mode) != (name in parents):
                path = shown_path(name)
                message = f"{path} is in the way of a file that would come back. Move or delete it, then try again."
                raise Conflict(message, reason="inTheWay", paths=[path])


def _unlink(door: Door, name: bytes) -> None:
    path = _path(name)
    with suppress(FileNotFound), door.entries({"paths": path}) as (place,), telling(path.text):
        status = place.status()
        if status is not None and not S_ISDIR(status.st_mode):
            os.unlink(place.name, dir_fd=place.parent)


def _status(door: Door, name: bytes) -> os.stat_result | None:
    with suppress(FileNotFound), door.entries({"paths": _path(name)}) as (place,):
        return place.status()
    return None


def _path(name: bytes) -> RelativePath:
    return RelativePath(shown_path(name), tuple(name.split(b"/")))


def _parents(name: bytes) -> list[bytes]:
    parts = name.split(b"/")
    return [b"/".join(parts[:count]) for count in range(1, len(parts))]
