"""gitignore(5): the rules by example, and git itself as the judge."""

import subprocess
import tempfile
import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from host.paths.gitignore import MAX_PATTERNS, compile_gitignore
from host.paths.ignore import IgnoreRules


def is_ignored(path: str, gitignores: dict[str, str]) -> bool:
    """``path`` ends in ``/`` for a directory; ``gitignores`` maps directories to their file's text."""
    rules = IgnoreRules.of_root(gitignore=gitignores.get(""), exclude=None)
    *above, name = path.rstrip("/").split("/")
    for depth, directory in enumerate(above, 1):
        text = gitignores.get("/".join(above[:depth]))
        rules = rules.entered(directory, lambda text=text: text)  # type: ignore[misc]
    names = rules.names()
    verdict = names.ignores(name, is_dir=path.endswith("/"))
    assert names.suspects(name) or not verdict
    return verdict


@pytest.mark.parametrize(
    ("text", "path", "expected"),
    [
        ("*.log", "a.log", True),
        ("*.log", "x/y/a.log", True),
        ("*.log", "a.logs", False),
        ("/a", "a", True),
        ("/a", "x/a", False),
        ("x/a", "x/a", True),
        ("x/a", "y/x/a", False),
        ("a/", "a/", True),
        ("a/", "a", False),
        ("a/", "a/b", True),
        ("*\n!b", "b", False),
        ("!b\n*", "b", True),
        ("a/\n!a/b", "a/b", True),
        ("a/*\n!a/b", "a/b", False),
        ("**/a", "x/y/a", True),
        ("x/**", "x/y", True),
        ("x/**", "x/", False),
        ("x/**/a", "x/a", True),
        ("x/**/a", "x/y/z/a", True),
        ("x*/a", "xy/a", True),
        ("a?c", "abc", True),
        ("a[bc]d", "acd", True),
        ("a[!bc]d", "acd", False),
        ("a[^b-d]e", "axe", True),
        ("[]]", "]", True),
        ("[[:digit:]]x", "7x", True),
        ("*.py[cod]", "m.pyc", True),
        (r"\#a", "#a", True),
        (r"\!a", "!a", True),
        ("#a", "#a", False),
        ("a  ", "a", True),
        (r"a\ ", "a ", True),
        ("a\r\nb", "a", True),
        ("\ufeffa", "a", True),
        ("[a", "[a", False),
        ("[z-a]", "m", False),
        ("a\\", "a\\", False),
        ("/", "a", False),
        ("", "a", False),
        ("*", "a\nb", True),
        ("a", "a\n", False),
        ("*", "gr\udce9", True),
    ],
)
def test_a_pattern_means_what_the_manual_says(text: str, path: str, expected: bool) -> None:
    assert is_ignored(path, {"": text}) is expected


def test_a_nested_file_decides_over_those_above_it() -> None:
    gitignores = {"": "*.log", "x": "!keep.log\n/top"}
    assert not is_ignored("x/keep.log", gitignores)
    assert is_ignored("x/other.log", gitignores)
    assert is_ignored("x/top", gitignores)
    assert not is_ignored("top", gitignores)


def test_a_hostile_pattern_costs_little() -> None:
    text = "\n".join(["*a" * 30 + "b", "**/" * 8 + "a*" * 15 + "b", "[" * 500, "?" * 10_000])
    begun = time.thread_time()
    for _ in range(100):
        assert not is_ignored("a" * 255, {"": text})
    assert time.thread_time() - begun < 2


def test_what_is_past_the_limit_is_left_out() -> None:
    assert len(compile_gitignore("\n".join(f"name{number}" for number in range(MAX_PATTERNS * 2)))) == MAX_PATTERNS


_FILES = [
    f"{directory}{name}" for directory in ("", "x/", "x/y/", "y/") for name in ("a", "ab", "abb", "ba", "a-b", "z!")
]
_lines = st.lists(
    st.text(alphabet="abxy*/?[]!-#\\ ", max_size=7).filter(lambda line: "[" not in line or "/" not in line), max_size=5
)


@pytest.mark.slow
@settings(max_examples=120)
@given(top=_lines, nested=_lines)
def test_git_itself_ignores_the_same_files(top: list[str], nested: list[str]) -> None:
    with tempfile.TemporaryDirectory() as directory:
        root = Path(directory)
        subprocess.run(["git", "init", "-q", "--template=", directory], check=True)
        for file in _FILES:
            (root / file).parent.mkdir(parents=True, exist_ok=True)
            (root / file).touch()
        gitignores = {"": "\n".join(top), "x": "\n".join(nested)}
        for where, text in gitignores.items():
            (root / where / ".gitignore").write_text(text)
        asked = "\0".join(_FILES).encode()
        answer = subprocess.run(
            ["git", "-C", directory, "-c", "core.excludesFile=", "check-ignore", "--no-index", "-z", "--stdin"],
            input=asked,
            capture_output=True,
            check=False,
        )
        assert answer.stderr == b""
        by_git = set(filter(None, answer.stdout.decode().split("\0")))
        assert {file for file in _FILES if is_ignored(file, gitignores)} == by_git
