"""Contents from kept processes of ``git cat-file``, so that no program is started for each of them."""

import subprocess
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from threading import Lock
from typing import IO, Final

from host.git.reader import Reader
from host.git.repository import Repository
from host.protocol.errors import FileTooLarge, GitFailed
from host.protocol.limits import MAX_READ_BYTES, MIB

MAX_KEPT: Final = 8
IDLE_S: Final = 60.0
_MAX_HEADER_BYTES: Final = 64 * 1024


@dataclass(frozen=True, slots=True)
class GitObject:
    """``kind`` is git's word: blob, tree, commit or tag."""

    kind: str
    content: bytes


@dataclass(slots=True)
class _Kept:
    child: subprocess.Popen[bytes]
    repository: Repository
    used_s: float


class ObjectReader:
    """At most ``MAX_KEPT`` processes wait for the next question, each for ``IDLE_S``; they end with the daemon."""

    def __init__(self, *, monotonic_s: Callable[[], float] = time.monotonic) -> None:
        self._monotonic_s = monotonic_s
        self._lock = Lock()
        self._kept: list[_Kept] = []

    def read(self, git: Reader, repository: Repository, name: bytes) -> GitObject | None:
        """The object of that name, which holds no newline and ends in no CR; None if there is none.

        Raises FileTooLarge over MAX_READ_BYTES, GitFailed when git does not answer.
        """
        kept = self._take(repository)
        if kept is not None:
            # It may have been killed since it was last used.
            with suppress(OSError, EOFError):
                return self._ask(git, repository, kept, name)
        try:
            return self._ask(git, repository, _start(git, repository), name)
        except (OSError, EOFError) as exc:
            # Some names that mean nothing end it, such as entries of a log that is shorter.
            if not repository.has(git, name):
                return None
            message = "git ended before it had given the file's content. Run git fsck on the machine, then try again."
            raise GitFailed(message, stderr="", exitCode=None) from exc

    def end_idle(self) -> None:
        """End those that nobody has used for a while."""
        self._end(lambda kept: self._monotonic_s() - kept.used_s >= IDLE_S)

    def close(self) -> None:
        """End them all."""
        self._end(lambda _: True)

    def _ask(
        self, git: Reader, repository: Repository, child: subprocess.Popen[bytes], name: bytes
    ) -> GitObject | None:
        git.watch(child)
        try:
            answer = _answer(child, name)
        except BaseException:
            git.watch(None)
            _end(child)
            raise
        git.watch(None)
        self._put_back(_Kept(child, repository, self._monotonic_s()))
        return answer

    def _take(self, repository: Repository) -> subprocess.Popen[bytes] | None:
        with self._lock:
            for kept in reversed(self._kept):
                if kept.repository == repository:
                    self._kept.remove(kept)
                    return kept.child
        return None

    def _put_back(self, kept: _Kept) -> None:
        with self._lock:
            self._kept.append(kept)
            surplus = self._kept[:-MAX_KEPT]
            del self._kept[:-MAX_KEPT]
        for other in surplus:
            _end(other.child)

    def _end(self, is_due: Callable[[_Kept], bool]) -> None:
        with self._lock:
            due = [kept for kept in self._kept if is_due(kept)]
            self._kept = [kept for kept in self._kept if kept not in due]
        for kept in due:
            _end(kept.child)


def _start(git: Reader, repository: Repository) -> subprocess.Popen[bytes]:
    return git.start(repository.root, "cat-file", "--batch", stdin=subprocess.PIPE, stderr=subprocess.DEVNULL)


def _answer(child: subprocess.Popen[bytes], name: bytes) -> GitObject | None:
    """Raises EOFError or OSError when the process ends, FileTooLarge when its answer has only begun."""
    questions, answers = _pipes(child)
    questions.write(name + b"\n")
    questions.flush()
    header = answers.readline(_MAX_HEADER_BYTES)
    if not header.endswith(b"\n"):
        raise EOFError
    fields = header.split()
    if len(fields) != 3 or not fields[2].isdigit():
        # "… missing" or "… ambiguous"
        return None
    size = int(fields[2])
    if size > MAX_READ_BYTES:
        raise FileTooLarge(f"The file is larger than {MAX_READ_BYTES // MIB} MB in that commit.", size=size)
    content = answers.read(size + 1)
    if len(content) != size + 1:
        raise EOFError
    return GitObject(fields[1].decode(), content[:-1])


def _pipes(child: subprocess.Popen[bytes]) -> tuple[IO[bytes], IO[bytes]]:
    assert child.stdin is not None  # noqa: S101 - both are pipes
    assert child.stdout is not None  # noqa: S101
    return child.stdin, child.stdout


def _end(child: subprocess.Popen[bytes]) -> None:
    child.kill()
    with suppress(OSError):
        child.communicate()
