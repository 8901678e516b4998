"""Which file system a directory lies on, by the system's own table."""

from pathlib import Path

import pytest

from host.watch.mounts import shared_file_system

_TABLE = r"""22 1 254:0 / / rw,relatime shared:1 - ext4 /dev/vda rw
23 22 0:40 / /home/net rw shared:2 master:1 - nfs4 server:/export rw
24 23 0:41 / /home/net/local rw - tmpfs none rw
25 22 0:42 / /mnt/with\040space rw - fuse.sshfs user@host: rw
26 22 0:43 / /twice rw - cifs //server/share rw
27 22 0:44 / /twice rw - ext4 /dev/vdb rw
"""


@pytest.mark.parametrize(
    ("directory", "expected"),
    [
        ("/", None),
        ("/home/user", None),
        ("/home/net", "nfs4"),
        ("/home/net/a/b", "nfs4"),
        ("/home/network", None),
        ("/home/net/local/a", None),
        ("/mnt/with space/a", "fuse.sshfs"),
        ("/twice/a", None),
    ],
)
def test_the_deepest_and_last_mount_counts(tmp_path: Path, directory: str, expected: str | None) -> None:
    table = tmp_path / "mountinfo"
    table.write_text(_TABLE)
    assert shared_file_system(Path(directory), table) == expected


def test_without_a_table_every_file_system_is_taken_for_local(tmp_path: Path) -> None:
    assert shared_file_system(Path("/home"), tmp_path / "missing") is None
