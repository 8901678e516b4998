"""Which entries are ignored: well-known names at any depth, and what .gitignore says. Pure, over texts."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from host.paths.gitignore import Pattern, compile_gitignore

ALWAYS_IGNORED: Final = frozenset({"node_modules", ".git", "dist", "build", ".next", "__pycache__", ".venv", "target"})


class NameRules:
    """The rules for one directory's entries.

    ``suspects(name)`` is cheap and true for every name that may be ignored: ask
    ``ignores`` only then.
    """

    def __init__(self, patterns: tuple[Pattern, ...]) -> None:
        self._deciding_first = patterns[::-1]
        self.suspects: Callable[[str], object] = _prefilter(patterns)

    def ignores(self, name: str, *, is_dir: bool) -> bool:
        if name in ALWAYS_IGNORED:
            return True
        for pattern in self._deciding_first:
            if pattern.fits(name, is_dir=is_dir):
                return not pattern.negated
        return False


class EverythingIgnored(NameRules):
    """Inside an ignored directory."""

    def __init__(self) -> None:
        super().__init__(())
        self.suspects = bool

    def ignores(self, name: str, *, is_dir: bool) -> bool:
        return True


@dataclass(frozen=True, slots=True)
class IgnoreRules:
    """The rules that hold in one directory of a project. Begin with ``of_root``, go down with ``entered``."""

    directory: tuple[str, ...] = ()
    # (how many names deep the file lies, its patterns), the deciding one last
    sources: tuple[tuple[int, tuple[Pattern, ...]], ...] = ()
    inside_ignored: bool = False

    @classmethod
    def of_root(cls, *, gitignore: str | None, exclude: str | None, everywhere: str = "") -> "IgnoreRules":
        """The root's rules: the texts of its .gitignore and .git/info/exclude, None where there is none.

        What these say counts more than ``everywhere``, the patterns that hold in every project.
        """
        return cls()._with(everywhere)._with(exclude)._with(gitignore)

    def entered(self, name: str, gitignore: Callable[[], str | None]) -> "IgnoreRules":
        """The rules in the subdirectory ``name``; its .gitignore is asked for only if it counts."""
        directory = (*self.directory, name)
        if self.inside_ignored or self.names().ignores(name, is_dir=True):
            return IgnoreRules(directory, (), inside_ignored=True)
        return IgnoreRules(directory, self.sources)._with(gitignore())

    def names(self) -> NameRules:
        """The rules for this directory's own entries."""
        if self.inside_ignored:
            return _EVERYTHING
        return _name_rules(
            tuple(
                pattern
                for depth, patterns in self.sources
                for pattern in patterns
                if pattern.holds_in(self.directory[depth:])
            )
        )

    def _with(self, text: str | None) -> "IgnoreRules":
        patterns = compile_gitignore(text) if text else ()
        if not patterns:
            return self
        return IgnoreRules(self.directory, (*self.sources, (len(self.directory), patterns)))


@lru_cache(maxsize=64)
def _name_rules(patterns: tuple[Pattern, ...]) -> NameRules:
    return NameRules(patterns)


def _prefilter(patterns: tuple[Pattern, ...]) -> Callable[[str], object]:
    # A name that only negated patterns fit was never ignored.
    names = [pattern.name for pattern in patterns if not pattern.negated]
    literals = ALWAYS_IGNORED.union(name for name in names if isinstance(name, str))
    expressions = [name.pattern for name in names if isinstance(name, re.Pattern)]
    if not expressions:
        return literals.__contains__
    combined = re.compile("|".join(f"(?:{expression})" for expression in expressions), re.DOTALL).match
    return lambda name: name in literals or combined(name)


_EVERYTHING: Final = EverythingIgnored()
