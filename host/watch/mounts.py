"""On which file system a directory lies, without touching it: one whose server is gone would hang."""

import re
from pathlib import Path
from typing import Final

_TABLE: Final = Path("/proc/self/mountinfo")
_ESCAPE: Final = re.compile(rb"\\([0-7]{3})")
_NETWORK: Final = frozenset(
    {"9p", "afs", "beegfs", "ceph", "cifs", "coda", "glusterfs", "lustre", "nfs", "nfs4", "smb3"}
)
_CLUSTER: Final = frozenset({"gfs2", "gpfs", "ocfs2", "orangefs"})
_OF_VIRTUAL_MACHINES: Final = frozenset({"drvfs", "prl_fs", "vboxsf", "virtiofs", "vmhgfs"})
_SHARED: Final = _NETWORK | _CLUSTER | _OF_VIRTUAL_MACHINES


def shared_file_system(directory: Path, table: Path = _TABLE) -> str | None:
    """The type of the file system if others may change it behind this machine's back; None if they can't.

    ``directory`` is a real path. FUSE is taken for shared: what lies behind it is unknown.
    """
    kind = _type_of(bytes(directory), table)
    return kind if kind in _SHARED or kind == "fuse" or kind.startswith("fuse.") else None


def _type_of(path: bytes, table: Path) -> str:
    """See proc_pid_mountinfo(5): the mount point is the fifth field, the type the first after a lone dash."""
    deepest, kind = b"", ""
    try:
        lines = table.read_bytes().splitlines()
    except OSError:
        return kind
    for line in lines:
        place, _, what = line.partition(b" - ")
        mount_point = _ESCAPE.sub(lambda found: bytes((int(found[1], 8),)), place.split(b" ")[4])
        is_above = path == mount_point or path.startswith(mount_point.rstrip(b"/") + b"/")
        # Of several at one place the last one counts.
        if is_above and len(mount_point) >= len(deepest):
            deepest, kind = mount_point, what.split(b" ")[0].decode()
    return kind
