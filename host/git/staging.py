"""git_stage and git_unstage: what the next commit will hold."""

from collections.abc import Collection, Sequence
from typing import Final

from host.git.changing import Change
from host.git.parsing.rows import Row, choosers, is_chosen, parse_rows
from host.git.paths import shown_path
from host.git.refusals import unmerged_conflict
from host.paths.relative import RelativePath
from host.protocol.errors import FileNotFound, GitFailed

_ADD: Final = ("add", "--all")
_STATUS: Final = ("status", "--porcelain=v2", "-z", "--no-show-stash", "--ignore-submodules=dirty")


async def stage(change: Change, paths: Sequence[RelativePath]) -> None:
    """Stage what the paths and all below them are now; what is gone is staged as deleted.

    Conflicts are staged as resolved. Raises FileNotFound for a path that nobody knows, InvalidRequest for one that
    git ignores: nothing is staged then.
    """
    found = await change.find_paths(paths)
    try:
        await _add(change, found)
    except FileNotFound:
        # Of a file whose deletion is staged already `add` knows nothing.
        left = await _without_staged(change, found)
        if left == found:
            raise
        await _add(change, left)


async def unstage(change: Change, paths: Sequence[RelativePath]) -> None:
    """Make the index what the last commit is, at the paths and below them; a rename is taken back at both ends.

    Raises Conflict where files are in conflict: nothing is staged of them.
    """
    chosen = set(await change.find_paths(paths))
    rows = await read_rows(change, "--untracked-files=no")
    refuse_conflicts(rows, chosen)
    origins = {row.origin for row in rows if row.staged == "R" and row.origin and is_chosen(row.path, chosen)}
    await change.run("reset", "--quiet", paths=sorted(chosen | origins))


async def read_rows(change: Change, *options: str) -> list[Row]:
    """What differs in the project. Raises GitFailed where that is too much to list."""
    repository = change.repository
    answer = await change.look(*_STATUS, *options, "--", *((".",) if repository.prefix else ()))
    if answer.is_cut:
        raise GitFailed(
            "There is too much to change at once. Name fewer files, or do it on the machine.", stderr="", exitCode=None
        )
    return list(parse_rows(answer.output(), prefix=repository.prefix))


def refuse_conflicts(rows: Collection[Row], chosen: Collection[bytes]) -> None:
    conflicts = [shown_path(row.path) for row in rows if row.is_conflict and is_chosen(row.path, chosen)]
    if conflicts:
        message = f"{conflicts[0]} is in conflict. Edit it, then stage it to say that it is resolved."
        raise unmerged_conflict(conflicts, message)


async def _add(change: Change, paths: Sequence[bytes]) -> None:
    if len(paths) > 1:
        # Git would stage the others before it refuses one that it ignores.
        await change.run(*_ADD, "--dry-run", paths=paths)
    if paths:
        await change.run(*_ADD, paths=paths)


async def _without_staged(change: Change, paths: Sequence[bytes]) -> list[bytes]:
    """The paths but those where all that differs is staged."""
    chosen = set(paths)
    rows = await read_rows(change, "--untracked-files=all", "--no-renames")
    staged = {name for row in rows for name in choosers(row.path, chosen)}
    staged -= {name for row in rows if row.unstaged != "." for name in choosers(row.path, chosen)}
    return [path for path in paths if path not in staged]
