"""Whose socket is at the other end of a loopback connection; Linux tells, others don't."""

import os
import socket
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Final

_TABLES: Final = (Path("/proc/net/tcp"), Path("/proc/net/tcp6"))
_ESTABLISHED: Final = "01"
_LOOKS: Final = 3
# How a socket of the IPv6 family shows an IPv4 address.
_MAPPED_PREFIX: Final = "0000000000000000FFFF0000" if sys.byteorder == "little" else "00000000000000000000FFFF"

Address = tuple[str, int]


def is_same_user(peer: Address, server: Address, uid: int, tables: Iterable[Path] = _TABLES) -> bool:
    """Whether ``uid`` owns the socket at ``peer`` that is connected to ``server``; both IPv4.

    False wherever that can't be told. Reads the kernel's tables: milliseconds, so not on an event loop.
    """
    return any(_owner(table, _hexadecimal(peer), _hexadecimal(server)) == uid for table in tables)


def is_another_user(peer: Address, server: Address, uid: int, tables: Sequence[Path] = _TABLES) -> bool:
    """Whether neither ``uid`` nor root owns the socket at ``peer``; of one that was closed nobody is known to.

    False where there are no such tables. Not on an event loop, as above.
    """
    if not any(os.access(table, os.R_OK) for table in tables):
        return False
    # The kernel may leave out an entry while others come and go.
    return not any(is_same_user(peer, server, known, tables) for _ in range(_LOOKS) for known in (uid, 0))


def _owner(table: Path, local: str, remote: str) -> int | None:
    try:
        with table.open() as lines:
            for line in lines:
                fields = line.split()
                if len(fields) > 9 and fields[1].endswith(local) and fields[2].endswith(remote):
                    return _owner_of_entry(fields, local, remote)
    except OSError:
        pass
    return None


def _owner_of_entry(fields: list[str], local: str, remote: str) -> int | None:
    is_this = fields[1] in (local, _MAPPED_PREFIX + local) and fields[2] in (remote, _MAPPED_PREFIX + remote)
    # A socket that its process has closed is shown as root's, and without an inode.
    is_alive = fields[3] == _ESTABLISHED and fields[9] != "0"
    return int(fields[7]) if is_this and is_alive else None


def _hexadecimal(address: Address) -> str:
    host, port = address
    number = int.from_bytes(socket.inet_aton(host), sys.byteorder)
    return f"{number:08X}:{port:04X}"
