import pytest

from host.paths.git_names import is_under_git, refuse_under_git
from host.protocol.errors import InvalidRequest


@pytest.mark.parametrize(
    "path",
    [
        ".git",
        ".git/config",
        "sub/.git/hooks/pre-commit",
        ".GIT/config",
        ".gIt",
        ".git.",
        ".git ",
        ".git . .",
        "git~1",
        "GIT~1/config",
        ".git::$INDEX_ALLOCATION",
        ".g\u200cit",
        ".gi\ufefft/config",
        "\u202e.git",
        ".git\ufe0f",
    ],
)
def test_what_some_file_system_takes_for_git_is_under_git(path: str) -> None:
    assert is_under_git(path.encode().split(b"/"))


@pytest.mark.parametrize(
    "path", ["", ".gitignore", ".github/x", "git", "a.git", ".git2", "git~2", "..git", "x/.gitkeep"]
)
def test_other_names_are_not(path: str) -> None:
    assert not is_under_git(path.encode().split(b"/"))


def test_a_name_that_is_not_utf_8_is_judged_too() -> None:
    assert not is_under_git([b".git\xff"])


def test_what_is_under_git_is_refused_as_an_invalid_request() -> None:
    with pytest.raises(InvalidRequest):
        refuse_under_git([b"a", b".git"])
