"""Names that people and JSON can carry."""

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from host.projects.naming import check_label, default_name, shown_path


@pytest.mark.parametrize(
    ("directory", "name"),
    [
        (b"/code/shop", "shop"),
        (b"/", "/"),
        ("/code/\u00e9t\u00e9".encode(), "\u00e9t\u00e9"),
        (b"/code/\xe9t\xe9", "%E9t%E9"),
        (b"/code/line\nbreak", "line%0Abreak"),
        ("/code/turned\u202eround".encode(), "turned%E2%80%AEround"),
        (b"/code/ ", "project"),
        (b"/code/" + b"x" * 200, "x" * 100),
    ],
)
def test_a_directory_names_its_project(directory: bytes, name: str) -> None:
    assert default_name(Path(os.fsdecode(directory))) == name


@given(st.binary(min_size=1, max_size=80))
def test_every_directory_has_a_name_that_is_a_label(raw: bytes) -> None:
    path = Path("/", os.fsdecode(raw.replace(b"\0", b"-")))
    assert check_label("name", default_name(path)) == default_name(path)
    shown_path(path).encode("utf-8")
