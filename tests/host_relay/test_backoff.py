from itertools import islice

from hypothesis import given
from hypothesis import strategies as st

from host.core.backoff import backoff_delays_s

STEPS_S = [1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 60.0, 60.0, 60.0]


def test_the_steps_are_the_contracts() -> None:
    almost_one = 1 - 2**-53

    assert [round(wait, 9) for wait in islice(backoff_delays_s(lambda: almost_one), len(STEPS_S))] == STEPS_S


@given(st.floats(0, 1, exclude_max=True))
def test_each_wait_lies_between_half_of_its_step_and_all_of_it(chance: float) -> None:
    for wait, step in zip(backoff_delays_s(lambda: chance), STEPS_S, strict=False):
        assert step / 2 <= wait <= step


def test_each_wait_is_spread_anew() -> None:
    chances = iter([0.0, 0.5, 0.0])

    assert list(islice(backoff_delays_s(lambda: next(chances)), 3)) == [0.5, 1.5, 2.0]
