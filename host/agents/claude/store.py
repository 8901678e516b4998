"""Where Claude Code keeps its sessions, and what lies there for a project. Blocking: to be called in threads.

The directory may hold anything: a transcript is only opened as a regular file that is no link, and is read in
bounded pieces.
"""

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from stat import S_ISREG
from typing import Final

import msgspec

from host.agents.claude.slug import project_slug
from host.agents.claude.summary import MessageCount, Summary, summarize
from host.core.clock import rfc3339
from host.protocol.limits import KIB, MIB

MAX_TRANSCRIPTS: Final = 10_000
# So many transcripts are read again before it is slower than to remember them.
WORTH_KEEPING: Final = 20
# Head and tail of a transcript each.
END_BYTES: Final = 64 * KIB
COUNTED_BYTES: Final = 256 * MIB
_PIECE_BYTES: Final = 1 * MIB
# The end of the year 9999: a file may claim to be from later.
_LAST_S: Final = 253_402_300_799
_READ: Final = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
_TRANSCRIPT: Final = re.compile(r"([0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12})\.jsonl")


@dataclass(frozen=True, slots=True)
class StoredSession:
    """Times are RFC 3339 UTC."""

    session_id: str
    title: str
    created_at: str
    last_activity_at: str
    message_count: int


class _Seen(msgspec.Struct, frozen=True):
    """A transcript as it was when ``version`` was; ``summary`` is None for one that is not to be listed."""

    version: tuple[int, int, int]
    summary: Summary | None
    message_count: int


# It is tried again each time.
_UNREAD: Final = _Seen((0, 0, 0), None, 0)


class SessionStore:
    """The sessions below one ``projects`` directory. Remembers what it read of them."""

    def __init__(self, projects: Path) -> None:
        self._projects = projects
        self._seen: dict[Path, dict[str, _Seen]] = {}
        self._stored: dict[Path, dict[str, _Seen]] = {}

    def directory(self, root: Path) -> Path:
        """Where the sessions of that directory are, if there are any; maybe with those of others."""
        return self._projects / project_slug(root)

    def knows(self, directory: Path) -> bool:
        """Whether its sessions were listed, or recalled, before."""
        return directory in self._seen

    def recall(self, directory: Path, memory: bytes) -> None:
        """Begin with what ``memory`` gave another day; what it can't be is no memory."""
        with suppress(msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            seen = msgspec.json.decode(memory, type=dict[str, _Seen])
            self._seen.setdefault(directory, seen)
            self._stored[directory] = seen

    def memory(self, directory: Path) -> bytes | None:
        """What is to be recalled another day; None where hardly anything is new since the last time."""
        seen, stored = self._seen.get(directory, {}), self._stored.get(directory, {})
        if sum(stored.get(name) != known for name, known in seen.items()) < WORTH_KEEPING:
            return None
        self._stored[directory] = seen
        return msgspec.json.encode(seen)

    def transcript(self, root: Path, session_id: str) -> Path:
        """Where the transcript of a session of that directory is, if there is one."""
        return self.directory(root) / f"{session_id}.jsonl"

    def sessions(self, root: Path) -> list[StoredSession]:
        """Those that were begun in exactly that directory, in any order; the 10,000 last changed ones at most."""
        directory = self.directory(root)
        before = self._seen.get(directory, {})
        self._seen[directory] = seen = {
            name: _look(entry, status, before.get(name)) for name, entry, status in _newest(directory)
        }
        return [_stored(name, found) for name, found in seen.items() if _is_of(found.summary, root)]

    def session(self, root: Path, session_id: str) -> StoredSession | None:
        """One of them."""
        path = self.transcript(root, session_id)
        seen = self._seen.get(path.parent, {})
        try:
            status = path.lstat()
        except OSError:
            return None
        found = _look(path, status, seen.get(session_id))
        return _stored(session_id, found) if _is_of(found.summary, root) else None


@contextmanager
def open_transcript(path: str | os.PathLike[str]) -> Iterator[int]:
    """A descriptor to read from. Raises OSError for what is not there, not ours to read, a link or no regular file."""
    descriptor = os.open(path, _READ)
    try:
        if not S_ISREG(os.fstat(descriptor).st_mode):
            raise OSError("This is not a regular file.")
        yield descriptor
    finally:
        os.close(descriptor)


def _newest(directory: Path) -> list[tuple[str, os.DirEntry[str], os.stat_result]]:
    found = []
    with suppress(OSError), os.scandir(directory) as entries:
        for entry in entries:
            match = _TRANSCRIPT.fullmatch(entry.name)
            if match is None:
                continue
            with suppress(OSError):
                found.append((match[1], entry, entry.stat(follow_symlinks=False)))
    found.sort(key=lambda transcript: transcript[2].st_mtime_ns, reverse=True)
    return found[:MAX_TRANSCRIPTS]


def _look(path: str | os.PathLike[str], status: os.stat_result, before: _Seen | None) -> _Seen:
    version = (status.st_ino, status.st_size, status.st_mtime_ns)
    if before is not None and before.version == version:
        return before
    try:
        with open_transcript(path) as descriptor:
            return _Seen(version, _summary(descriptor, status.st_size), _count(descriptor))
    except OSError:
        return _UNREAD


def _summary(descriptor: int, size_bytes: int) -> Summary | None:
    head = os.pread(descriptor, END_BYTES, 0)
    tail_at = max(len(head), size_bytes - END_BYTES)
    return summarize(head, os.pread(descriptor, END_BYTES, tail_at))


def _count(descriptor: int) -> int:
    count = MessageCount()
    rest = b""
    for offset in range(0, COUNTED_BYTES, _PIECE_BYTES):
        piece = os.pread(descriptor, _PIECE_BYTES, offset)
        # What is counted has no comma in it.
        whole, _, rest = (rest + piece).rpartition(b",")
        count.add(whole)
        if len(piece) < _PIECE_BYTES or len(rest) > _PIECE_BYTES:
            count.add(rest)
            rest = b""
        if not piece:
            break
    return count.value


def _stored(session_id: str, seen: _Seen) -> StoredSession:
    if seen.summary is None:
        raise ValueError("A transcript without a summary is not listed.")
    last_activity_at = rfc3339(min(max(seen.version[2] / 1e9, 0), _LAST_S))
    return StoredSession(
        session_id, seen.summary.title, seen.summary.begun_at or last_activity_at, last_activity_at, seen.message_count
    )


def _is_of(summary: Summary | None, root: Path) -> bool:
    # A path that is no Unicode is written so by the CLI.
    return summary is not None and summary.cwd == os.fsencode(root).decode("utf-8", "replace")
