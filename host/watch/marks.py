"""The entries that the system told of and that are still to be looked at."""

from collections import OrderedDict
from typing import Final

from host.watch.directory import Directory

# Past it, looking at everything costs less.
MAX_MARKS: Final = 100_000


class Marks:
    """Each entry once, in the order in which they were told of first."""

    def __init__(self) -> None:
        self._said: OrderedDict[tuple[Directory, str], int] = OrderedDict()

    def __bool__(self) -> bool:
        return bool(self._said)

    @property
    def are_too_many(self) -> bool:
        return len(self._said) > MAX_MARKS

    @property
    def first(self) -> Directory:
        """The directory of the entry whose turn it is; there must be one."""
        return next(iter(self._said))[0]

    def add(self, directory: Directory, name: str, said: int) -> None:
        key = (directory, name)
        self._said[key] = self._said.get(key, 0) | said

    def take(self) -> tuple[str, int]:
        """The first entry's name, and what was said of it."""
        (_, name), said = self._said.popitem(last=False)
        return name, said

    def clear(self) -> None:
        self._said.clear()
