"""The options of a session: what a message changes holds from its turn on, until another one changes it."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import msgspec

from host.protocol.errors import FileNotFound, InvalidRequest, OutsideProjectRoot
from host.protocol.limits import KIB
from host.protocol.messages.agents import AgentOptions, PermissionMode

# They become arguments of the agent's program, of which one holds 128 KiB.
_MAX_BYTES: Final = 100 * KIB


def changes_of(options: AgentOptions) -> str:
    """JSON of the members that were sent; null gives one back to the agent's own default.

    Raises InvalidRequest if they are too large.
    """
    changes = options.model_dump_json(by_alias=True, exclude_unset=True)
    if len(changes.encode()) > _MAX_BYTES:
        raise InvalidRequest.of_field("options", f"They are larger than {_MAX_BYTES // KIB} KB. Make them shorter.")
    return changes


def merged(held: str, changes: str) -> str:
    """JSON of what holds once ``changes`` were made to what held before."""
    members = {**msgspec.json.decode(held), **msgspec.json.decode(changes)}
    return msgspec.json.encode({name: value for name, value in members.items() if value is not None}).decode()


def after_planning(held: str, permission_mode: PermissionMode | None) -> str:
    """JSON of what holds once a plan was allowed: how it says to go on, or at least no planning any more."""
    was_planning = msgspec.json.decode(held).get("permissionMode") == "plan"
    if permission_mode is None and not was_planning:
        return held
    return merged(
        held, AgentOptions(permission_mode=permission_mode).model_dump_json(by_alias=True, exclude_unset=True)
    )


def options_of(held: str) -> AgentOptions:
    return AgentOptions.model_validate_json(held)


def real_directories(root: Path, directories: Sequence[str], project_roots: Sequence[Path]) -> list[str]:
    """The real paths of ``add_dirs``, where a relative one begins at ``root``. Reads the disk.

    Raises OutsideProjectRoot for one in no project, FileNotFound for no directory, InvalidRequest for no path.
    """
    return [str(_real_directory(root, directory, project_roots)) for directory in directories]


def _real_directory(root: Path, directory: str, project_roots: Sequence[Path]) -> Path:
    if "\0" in directory or not directory:
        raise InvalidRequest.of_field("options.addDirs", "A directory's name is empty or holds a zero byte.")
    real = Path(os.path.realpath(root / directory))
    if not any(real.is_relative_to(project_root) for project_root in project_roots):
        raise OutsideProjectRoot(
            f"The directory {directory} lies in no project. Add it on its machine with: pocketcoder add PATH",
            path=directory,
        )
    if not real.is_dir():
        raise FileNotFound(f"The directory {directory} does not exist.", path=directory)
    return real
