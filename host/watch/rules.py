"""The ignore rules of many directories at once."""

import math
from collections.abc import Callable
from typing import Final

from host.paths.gitignore import Component, Pattern
from host.paths.ignore import IgnoreRules, NameRules

Sources = tuple[tuple[int, tuple[Pattern, ...]], ...]

_AT_ANY_DEPTH: Final[tuple[Component, ...]] = (None,)


class SharedRules:
    """What ``IgnoreRules`` says below a directory, shared by all that have no .gitignore of their own.

    Most patterns hold at any depth, and are put together once. ``deepest`` is how many names deep
    a directory can lie for others to hold in it; infinite if there is no such bound.
    """

    __slots__ = ("_anchored", "_anywhere", "deepest", "sources")

    def __init__(self, sources: Sources) -> None:
        self.sources = sources
        patterns = [(depth, pattern) for depth, several in sources for pattern in several]
        self._anchored = tuple((depth, pattern) for depth, pattern in patterns if pattern.directory != _AT_ANY_DEPTH)
        self._anywhere = NameRules(tuple(pattern for _, pattern in patterns if pattern.directory == _AT_ANY_DEPTH))
        self.deepest = max((depth + _depth(pattern) for depth, pattern in self._anchored), default=-1)

    def names(self, depth: int, directory: Callable[[], tuple[str, ...]]) -> NameRules:
        """The rules for the entries of a directory that lies so deep; its names from the project's root if needed."""
        if depth <= self.deepest:
            parts = directory()
            if any(pattern.holds_in(parts[above:]) for above, pattern in self._anchored):
                return IgnoreRules(parts, self.sources).names()
        return self._anywhere

    def with_gitignore(self, directory: tuple[str, ...], text: str) -> "SharedRules":
        """The rules in a directory, not the root, that has a .gitignore."""
        *above, name = directory
        return SharedRules(IgnoreRules(tuple(above), self.sources).entered(name, lambda: text).sources)


def _depth(pattern: Pattern) -> float:
    return math.inf if None in pattern.directory else len(pattern.directory)
