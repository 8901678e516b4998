"""The name of a project's directory in the store; the expected ones are what the CLI itself made."""

import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from host.agents.claude.slug import project_slug


@pytest.mark.parametrize(
    ("root", "slug"),
    [
        ("/home/ada/my.project_1", "-home-ada-my-project-1"),
        ("/home/ada/e\u0301", "-home-ada-e-"),
        ("/home/ada/emoji🚀x", "-home-ada-emoji--x"),
        (f"/tmp/slugs/{'a' * 150}/{'b' * 100}", f"-tmp-slugs-{'a' * 150}-{'b' * 38}-scav1d"),
        (f"/tmp/slugs/{'ü' * 100}/{'🚀' * 50}", f"-tmp-slugs-{'-' * 189}-t92u1j"),
    ],
)
def test_a_slug_is_the_one_that_the_cli_makes(root: str, slug: str) -> None:
    assert project_slug(root) == slug


@given(st.binary(min_size=1, max_size=400).filter(lambda raw: b"\0" not in raw))
def test_any_path_has_a_slug_that_is_a_plain_name(raw: bytes) -> None:
    slug = project_slug(os.fsdecode(b"/" + raw))
    assert slug.startswith("-")
    assert slug.isascii()
    assert set("./\n ").isdisjoint(slug)
    assert len(slug) <= 210
