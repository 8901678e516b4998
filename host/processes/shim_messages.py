"""What the daemon and a shim say to each other, through a stream socket between them.

Imported by the shim: the standard library only, and little of it.
"""

import os
import socket
import struct
from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

# No system takes more arguments and environment; most take far less.
MAX_JOB_BYTES: Final = 8 * 1024 * 1024

# Daemon → shim, after the job: single bytes.
TERMINATE: Final = b"T"
KILL: Final = b"K"

# Shim → daemon: TAKEN, before anything is done with the job; STARTED or NOT_STARTED; ENDED; TREE_ENDED.
TAKEN: Final = b"g"
STARTED: Final = b"s"  # process id
NOT_STARTED: Final = b"n"  # errno
ENDED: Final = b"e"  # exit code, or minus the signal
TREE_ENDED: Final = b"t"  # the last signal that was needed, or 0; how many processes could not be ended

# Bytes that follow, how many strings are arguments, grace in ms. The four descriptors come with it.
_HEAD: Final = struct.Struct("!III")
_DESCRIPTORS: Final = 4
_REPORT: Final = struct.Struct("!cii")
REPORT_BYTES: Final = _REPORT.size


class Job(NamedTuple):
    """What to run. ``arguments[0]`` is the program's absolute path.

    ``grace_s`` is the time between SIGTERM and SIGKILL when the tree is terminated. ``descriptors`` are
    open ones of the working directory, stdin, stdout and stderr.
    """

    arguments: Sequence[bytes]
    environment: Mapping[bytes, bytes]
    grace_s: float
    descriptors: Sequence[int]


class Report(NamedTuple):
    kind: bytes
    number: int = 0
    left: int = 0


def encode_job(job: Job) -> bytes:
    """What goes before everything else, together with the descriptors. Raises ValueError for a NUL in a string."""
    strings = [*job.arguments, *(name + b"=" + value for name, value in job.environment.items())]
    if any(b"\0" in string for string in strings):
        raise ValueError("An argument or a variable contains a NUL.")
    body = b"".join(string + b"\0" for string in strings)
    return _HEAD.pack(len(body), len(job.arguments), round(job.grace_s * 1000)) + body


def receive_job(connection: socket.socket) -> Job | None:
    """The job that the connection brings; None when it closes without one. Raises OSError."""
    head, descriptors, _, _ = socket.recv_fds(connection, _HEAD.size, _DESCRIPTORS)
    for descriptor in descriptors:
        os.set_inheritable(descriptor, False)
    if len(head) < _HEAD.size or len(descriptors) < _DESCRIPTORS:
        return None
    size, arguments, grace_ms = _HEAD.unpack(head)
    body = _receive_exactly(connection, size)
    if body is None:
        return None
    strings = body.split(b"\0")[:-1]
    variables = (entry.partition(b"=") for entry in strings[arguments:])
    environment = {name: value for name, _, value in variables}
    return Job(strings[:arguments], environment, grace_ms / 1000, descriptors)


def encode_report(report: Report) -> bytes:
    return _REPORT.pack(*report)


def decode_reports(received: bytes) -> list[Report]:
    """The reports in a whole number of them."""
    return [Report(*fields) for fields in _REPORT.iter_unpack(received)]


def _receive_exactly(connection: socket.socket, size: int) -> bytes | None:
    received = bytearray()
    while len(received) < size:
        piece = connection.recv(size - len(received))
        if not piece:
            return None
        received += piece
    return bytes(received)
