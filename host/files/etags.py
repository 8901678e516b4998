"""An etag is of a whole file and changes whenever its content does."""

import hashlib
import os
import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from host.files.content import read_up_to
from host.protocol.limits import MAX_READ_BYTES

# The coarsest step of a kernel's file clock (CONFIG_HZ=100 makes it 10 ms), doubled.
CLOCK_STEP_NS: Final = 20_000_000


def content_etag(content: bytes) -> str:
    """For files up to MAX_READ_BYTES: no clock is involved, and a file that is written back is the same again."""
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


@dataclass(frozen=True)
class StatEtags:
    """For larger files. Size, times and inode tell versions apart, if no later write can fall on the same times.

    File times advance in steps of some milliseconds. So a change that is younger than a
    step is waited out, 20 ms at most, before the stat is believed. A file that is written
    all the time gets an etag that nothing will ever match.
    """

    now_ns: Callable[[], int] = time.time_ns
    sleep: Callable[[float], None] = time.sleep
    token: Callable[[], str] = secrets.token_hex

    def of_open_file(self, descriptor: int) -> str:
        """Ask before reading content: a change in between then makes the etag stale, never wrong."""
        status = os.fstat(descriptor)
        young_ns = CLOCK_STEP_NS - (self.now_ns() - status.st_ctime_ns)
        if young_ns > 0:
            self.sleep(min(young_ns, CLOCK_STEP_NS) / 1e9)
            status = os.fstat(descriptor)
        etag = f"stat:{status.st_size:x}-{status.st_mtime_ns:x}-{status.st_ctime_ns:x}-{status.st_ino:x}"
        is_settled = self.now_ns() - status.st_ctime_ns >= CLOCK_STEP_NS
        return etag if is_settled else f"{etag}-{self.token()}"


def file_etag(descriptor: int, stat_etags: StatEtags) -> str:
    """The etag of a regular file that is open for reading."""
    content = small_content(descriptor)
    return stat_etags.of_open_file(descriptor) if content is None else content_etag(content)


def small_content(descriptor: int) -> bytes | None:
    """The whole content; None if it is over MAX_READ_BYTES, also where the file grows, or reports no size."""
    if os.fstat(descriptor).st_size > MAX_READ_BYTES:
        return None
    content = read_up_to(descriptor, 0, MAX_READ_BYTES + 1)
    return content if len(content) <= MAX_READ_BYTES else None
