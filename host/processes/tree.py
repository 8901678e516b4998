"""Everything that descends from one process, found in the system's table and signalled whole.

What is signalled is a process group, one member of which was just seen in the tree. A group lies within
one session, and every session but our own was made within the tree, so all its members are the tree's.
The kernel signals a group at one blow: none of its members escapes by forking. Numbers are given out in
turn, so that of a group which has gone meanwhile is not another's yet.

Imported by the shim: the standard library only, and little of it.
"""

import os
import time
from collections.abc import Collection, Iterable, Iterator
from typing import Final, NamedTuple

STUCK_S: Final = 5.0
MAX_KILLING_S: Final = 60.0


class Process(NamedTuple):
    """A line of the table. ``session`` is None where it can't be told, 0 if it began outside a container."""

    pid: int
    parent: int
    group: int
    session: int | None
    is_marked: bool = False


class Tree:
    """What runs below this process, but for the children in ``apart`` and what is below them.

    Where orphans don't become our children ``group`` and ``mark`` (``NAME=VALUE`` in the environment)
    say what belongs to the tree all the same. 0 and empty: nothing.
    """

    def __init__(self, apart: Collection[int] = (), *, group: int = 0, mark: bytes = b"") -> None:
        self._apart = apart
        self._group = group
        self._mark = mark

    def find(self) -> list[Process]:
        """What was there while the table was read, parents first. What forks meanwhile may be missing."""
        processes = list(_list_from_proc() if os.path.exists("/proc/self/stat") else _list_from_ps(self._mark))
        below = self._below(processes)
        strays = [process for process in processes if self._is_stray(process) and process not in below]
        ours = os.getsid(0)
        # To kill(2) the groups 0 and 1 would mean our own, and every process there is.
        return [process for process in below + strays if process.group > 1 and process.session != ours]

    def signal(self, number: int) -> list[Process]:
        """Send a signal to all that was found, which is returned. What may not be signalled is passed over.

        Parents hear it first: they must not go on as if their children had ended by themselves.
        """
        found = self.find()
        for group in dict.fromkeys(process.group for process in found):
            signal_group(group, number)
        return found

    def _below(self, processes: Iterable[Process]) -> list[Process]:
        children: dict[int, list[Process]] = {}
        for process in processes:
            children.setdefault(process.parent, []).append(process)
        found: list[Process] = []
        level = [os.getpid()]
        while level:
            news = [child for parent in level for child in children.pop(parent, ()) if child.pid not in self._apart]
            found += news
            level = [process.pid for process in news]
        return found

    def _is_stray(self, process: Process) -> bool:
        return process.is_marked or (self._group > 1 and process.group == self._group)


class Patience:
    """Killing is given up when 5 s brought no change, and after 60 s in any case.

    What is killed may take long to go, and what forks long to catch, where the machine is overloaded.
    """

    def __init__(self) -> None:
        self._left: set[int] = set()
        self._began_s = self._changed_s = time.monotonic()

    def is_over(self, left: Iterable[Process]) -> bool:
        now_s = time.monotonic()
        pids = {process.pid for process in left}
        if pids != self._left:
            self._left, self._changed_s = pids, now_s
        return now_s - self._changed_s > STUCK_S or now_s - self._began_s > MAX_KILLING_S


def signal_group(group: int, number: int) -> None:
    """Nothing happens if it is gone or another user's."""
    try:
        os.killpg(group, number)
    except (ProcessLookupError, PermissionError):
        return


def _list_from_proc() -> Iterator[Process]:
    # The newest first: they are the ones that may be gone in a moment, leaving a child behind.
    for pid in sorted((int(name) for name in os.listdir("/proc") if name.isdigit()), reverse=True):
        try:
            descriptor = os.open(f"/proc/{pid}/stat", os.O_RDONLY)
        except OSError:
            continue
        try:
            stat = os.read(descriptor, 4096)
        except OSError:
            continue
        finally:
            os.close(descriptor)
        # The second field is a name in parentheses, which may hold anything.
        parent, group, session = stat.rpartition(b")")[2].split()[1:4]
        yield Process(pid, int(parent), int(group), int(session))


def _list_from_ps(mark: bytes) -> Iterator[Process]:
    import subprocess  # noqa: PLC0415 - dearer than all the rest together, and never needed on Linux

    # -E: the environment follows the command.
    table = subprocess.run(
        ["/bin/ps", "-A", "-E", "-ww", "-o", "pid=,ppid=,pgid=,command="], capture_output=True, check=False
    )
    for line in table.stdout.splitlines():
        pid, parent, group, *command = line.split(None, 3)
        is_marked = mark != b"" and mark in b"".join(command).split()
        yield Process(int(pid), int(parent), int(group), _session_of(int(pid)), is_marked)


def _session_of(pid: int) -> int | None:
    try:
        return os.getsid(pid)
    except OSError:
        return None
