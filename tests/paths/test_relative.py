"""Paths of the wire (docs/protocol.md, "Files")."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from host.paths.relative import ROOT, parse_path, shown_name, unescaped_name
from host.protocol.errors import InvalidRequest, OutsideProjectRoot
from host.protocol.limits import MAX_PATH_BYTES


def test_the_empty_path_is_the_root() -> None:
    assert parse_path("") == ROOT


def test_a_path_is_split_into_its_names() -> None:
    assert parse_path("src/ä/-rf").parts == (b"src", "ä".encode(), b"-rf")


@pytest.mark.parametrize(
    "path", ["..", "../x", "a/../b", "a/..", "/", "/etc/passwd", "//x", "a//..", "./..", "..\0/../x"]
)
def test_any_dot_dot_and_any_absolute_path_leaves_the_root(path: str) -> None:
    with pytest.raises(OutsideProjectRoot):
        parse_path(path)


@pytest.mark.parametrize(
    "path",
    [".", "./a", "a/.", "a//b", "a/", "a\0b", "\ud800", "a/\udc80", "x" * (MAX_PATH_BYTES + 1), "ä" * MAX_PATH_BYTES],
)
def test_what_is_no_path_is_an_invalid_request(path: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        parse_path(path)
    assert caught.value.details["errors"][0]["field"] == "path"


@pytest.mark.parametrize("path", ["a/...", "..a", "a..", "%2e%2e", "\\..\\x", "a\nb", "\u202ecod.exe"])
def test_what_only_looks_strange_is_a_path(path: str) -> None:
    assert b"/".join(parse_path(path).parts) == path.encode()


def test_leaving_the_root_comes_before_other_faults_and_its_answer_can_be_sent() -> None:
    with pytest.raises(OutsideProjectRoot) as caught:
        parse_path("a//\ud800/..")
    caught.value.details["path"].encode()


def test_a_name_that_is_utf_8_is_shown_as_it_is() -> None:
    assert shown_name("100%25 ä\n".encode()) == "100%25 ä\n"


def test_a_name_that_is_not_utf_8_is_escaped_byte_by_byte() -> None:
    assert shown_name(b"gr\xe9%\xc3\xa4") == "gr%E9%25ä"


@given(st.binary(min_size=1).filter(lambda name: not {0, 47} & set(name)))
def test_what_is_shown_of_a_name_that_is_not_utf_8_leads_back_to_it(name: bytes) -> None:
    component = shown_name(name).encode()
    assert unescaped_name(component) in ({None} if component == name else {name})


@pytest.mark.parametrize("component", [b"a", b"%41", b"%2F%FF", b"%00%FF", b"%ff", b"%FF%", b"..%2E"])
def test_what_no_listing_shows_stands_for_nothing_else(component: bytes) -> None:
    assert unescaped_name(component) is None
