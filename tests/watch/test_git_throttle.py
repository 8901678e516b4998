"""When git_changed is told."""

import itertools
from typing import Final

from hypothesis import given
from hypothesis import strategies as st

from host.watch.throttle import GitThrottle


def told_at(times_s: list[float]) -> list[float]:
    """When it is told of what happens at these times, by someone who looks all the time."""
    throttle, told = GitThrottle(), []
    for time_s in [*times_s, float("inf")]:
        while throttle.due_s is not None and throttle.due_s <= time_s:
            told.append(throttle.due_s)
            throttle.take(throttle.due_s)
        if time_s != float("inf"):
            throttle.note(time_s)
    return told


def test_what_one_command_does_in_a_moment_is_told_once() -> None:
    assert told_at([10.0, 10.01, 10.1, 10.2]) == [10.25]


def test_the_next_is_told_a_second_later() -> None:
    assert told_at([10.0, 10.3, 10.4, 12.0]) == [10.25, 11.25, 12.25]


times: Final = st.lists(st.floats(0, 20), max_size=50).map(sorted)


@given(times)
def test_it_is_told_at_most_once_a_second_and_never_forgotten(times_s: list[float]) -> None:
    told = told_at(times_s)
    assert all(later - earlier > 0.999 for earlier, later in itertools.pairwise(told))
    for time_s in times_s:
        assert any(time_s <= at_s <= time_s + 1.25 for at_s in told)
