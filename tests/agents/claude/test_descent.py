"""Lines of a transcript behind those that they follow."""

import json
from collections.abc import Sequence

from hypothesis import given
from hypothesis import strategies as st

from host.agents.claude.descent import in_order


def line(uuid: str | None, parent: str | None = None) -> bytes:
    return json.dumps({"uuid": uuid, "parentUuid": parent}).encode()


def ordered(*links: tuple[str | None, str | None]) -> list[str | None]:
    return [json.loads(each)["uuid"] for each in in_order([line(*link) for link in links])]


def test_lines_that_stand_behind_their_parents_stay_where_they_are() -> None:
    links = (("a", None), ("b", "a"), (None, None), ("c", "b"), ("other", "b"), ("d", "elsewhere"), ("e", "c"))
    assert ordered(*links) == [uuid for uuid, _ in links]


def test_lines_before_their_parent_come_behind_it_with_all_that_follows_them() -> None:
    links = (("answer", "list"), ("end", "answer"), ("prompt", None), ("list", "prompt"), ("next", "end"))
    assert ordered(*links) == ["prompt", "list", "answer", "end", "next"]


def test_siblings_keep_their_order() -> None:
    assert ordered(("b", "a"), ("c", "a"), ("a", None)) == ["a", "b", "c"]


def test_lines_that_follow_each_other_in_a_circle_are_all_there() -> None:
    assert ordered(("a", "b"), ("b", "a"), ("c", "c"), ("d", "a")) == ["c", "a", "b", "d"]


def test_what_cannot_be_read_stays_where_it_is() -> None:
    lines = [b"", b"\xff", b"[" * 200_000, b'{"uuid":5}', line("a"), b"{}"]
    assert in_order(lines) == lines


links = st.tuples(st.none() | st.sampled_from("abcdef"), st.none() | st.sampled_from("abcdef"))


@given(st.lists(links, max_size=12))
def test_no_line_is_lost_or_made(links: Sequence[tuple[str | None, str | None]]) -> None:
    lines = [line(*link) for link in links]
    assert sorted(in_order(lines)) == sorted(lines)
