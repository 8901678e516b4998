"""The language of gitignore(5). Pure.

Not a library's, because those translate a pattern into one backtracking expression: a cloned
repository's ``*a*a*a*a*b`` would stop the daemon for minutes. Here each component of a
pattern is matched by itself, in time linear in the name's length for each ``*``.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import islice
from typing import Final

# A component of a pattern: a literal name, an expression for a name, or None for "**", any number of directories.
Component = str | re.Pattern[str] | None

# Far above real files; what is past them is left out, so that a hostile one costs little.
MAX_PATTERNS: Final = 1000
MAX_PATTERN_CHARS: Final = 512
MAX_PATTERN_WILDCARDS: Final = 32

_ANY_NAME: Final = re.compile(".*", re.DOTALL)
_CLASSES: Final = {
    "alnum": "a-zA-Z0-9",
    "alpha": "a-zA-Z",
    "blank": " \\t",
    "digit": "0-9",
    "lower": "a-z",
    "punct": "!-/:-@\\[-`{-~",
    "space": "\\s",
    "upper": "A-Z",
    "xdigit": "0-9a-fA-F",
}
_CLASS: Final = re.compile(r"\[(?P<negated>[!^]?)(?P<body>\]?+(?:\[:\w+:\]|\\.|[^\]\\])*)\]", re.DOTALL)
_CLASS_ITEM: Final = re.compile(
    r"\[:(?P<name>\w+):\]|(?P<low>\\.|[^\\])-(?P<high>\\.|[^\\])|(?P<char>\\.|[^\\])", re.DOTALL
)


@dataclass(frozen=True, slots=True, eq=False)
class Pattern:
    """One line. ``directory`` is where its names lie, below the file's own directory."""

    directory: tuple[Component, ...]
    name: str | re.Pattern[str]
    negated: bool
    directories_only: bool

    def holds_in(self, directory: Sequence[str]) -> bool:
        """Whether the pattern can match entries of ``directory`` (names below the file's own directory)."""
        return _matches(self.directory, directory)

    def fits(self, name: str, *, is_dir: bool) -> bool:
        """Whether it matches an entry of a directory in which it holds."""
        return (is_dir or not self.directories_only) and _fits(self.name, name)


@lru_cache(maxsize=32)
def compile_gitignore(text: str) -> tuple[Pattern, ...]:
    """The patterns of a file, in its order: the last one that matches decides. Never fails: bad lines match nothing."""
    lines = text.removeprefix("\ufeff").split("\n")
    compiled = (_compile_line(line.removesuffix("\r")) for line in lines)
    return tuple(islice((pattern for pattern in compiled if pattern is not None), MAX_PATTERNS))


def _compile_line(line: str) -> Pattern | None:
    if line.startswith("#") or len(line) > MAX_PATTERN_CHARS or _wildcards(line) > MAX_PATTERN_WILDCARDS:
        return None
    negated = line.startswith("!")
    body = _without_trailing_spaces(line[negated:])
    directories_only = body.endswith("/")
    body = body.removesuffix("/")
    if not body:
        return None
    anchored = "/" in body
    try:
        components = [_component(text) for text in body.removeprefix("/").split("/")]
    except (ValueError, re.error):
        return None
    if not anchored:
        components.insert(0, None)
    # "a/**" means everything inside a; "**" alone, any name.
    name = components.pop() or _ANY_NAME
    if name is _ANY_NAME and anchored:
        components.append(None)
    return Pattern(tuple(components), name, negated, directories_only)


def _wildcards(line: str) -> int:
    return sum(map(line.count, "*?["))


def _without_trailing_spaces(line: str) -> str:
    bare = line.rstrip(" ")
    escaped = (len(bare) - len(bare.rstrip("\\"))) % 2 == 1
    return bare + " " if escaped and len(bare) < len(line) else bare


def _component(text: str) -> Component:
    """Raises ValueError for what can't match any name."""
    if not text:
        raise ValueError(text)
    if text == "**":
        return None
    if not any(special in text for special in "*?[\\"):
        return text
    pieces = [""]
    position = 0
    while position < len(text):
        if text[position] == "*":
            pieces.append("")
            position += 1
            continue
        expression, position = _next_character(text, position)
        pieces[-1] += expression
    return re.compile(_linear(pieces), re.DOTALL)


def _next_character(text: str, position: int) -> tuple[str, int]:
    match text[position]:
        case "?":
            return ".", position + 1
        case "\\":
            if position + 1 == len(text):
                raise ValueError(text)
            return re.escape(text[position + 1]), position + 2
        case "[":
            found = _CLASS.match(text, position)
            if not found:
                raise ValueError(text)
            return _class(found), found.end()
        case char:
            return re.escape(char), position + 1


def _class(found: re.Match[str]) -> str:
    items = "".join(_class_item(item) for item in _CLASS_ITEM.finditer(found["body"]))
    if not items:
        return "." if found["negated"] else "(?!)"
    return f"[{'^' if found['negated'] else ''}{items}]"


def _class_item(item: re.Match[str]) -> str:
    if item["name"]:
        if item["name"] not in _CLASSES:
            raise ValueError(item["name"])
        return _CLASSES[item["name"]]
    if item["char"]:
        return re.escape(item["char"][-1])
    low, high = item["low"][-1], item["high"][-1]
    return f"{re.escape(low)}-{re.escape(high)}" if low <= high else ""


def _linear(pieces: list[str]) -> str:
    """Join what stands between stars: each piece but the last is found once, leftmost, and kept there."""
    first, *rest = pieces
    if not rest:
        return first + r"\Z"
    middle = "".join(f"(?>.*?{piece})" for piece in rest[:-1] if piece)
    return rf"{first}{middle}.*{rest[-1]}\Z"


def _matches(pattern: Sequence[Component], names: Sequence[str]) -> bool:
    """Whether the names fit the components; "**" is tried short first, and only the last one is widened."""
    at_pattern = at_name = 0
    after_any: int | None = None
    widened_to = 0
    while at_name < len(names):
        if at_pattern < len(pattern) and pattern[at_pattern] is None:
            at_pattern += 1
            after_any, widened_to = at_pattern, at_name
        elif at_pattern < len(pattern) and _fits(pattern[at_pattern], names[at_name]):
            at_pattern += 1
            at_name += 1
        elif after_any is not None:
            widened_to += 1
            at_pattern, at_name = after_any, widened_to
        else:
            return False
    return all(component is None for component in pattern[at_pattern:])


def _fits(component: Component, name: str) -> bool:
    if isinstance(component, re.Pattern):
        return component.match(name) is not None
    return component == name
