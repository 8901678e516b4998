"""The numbers of batches over starts, kills, sleeps and a database that can't store."""

from typing import Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from host.core.clock import asleep_s
from host.db.errors import DatabaseClosed
from host.watch.numbers import BatchNumbers


class Stored:
    """What is durable. Can be full, like a disk."""

    def __init__(self) -> None:
        self.seq = 0
        self.times = 0
        self.is_full = False

    async def store(self, seq: int) -> None:
        if self.is_full:
            raise DatabaseClosed
        self.seq = max(self.seq, seq)
        self.times += 1


class Machine:
    """How long it slept."""

    def __init__(self) -> None:
        self.slept_s = 100.0

    def asleep_s(self) -> float:
        return self.slept_s


@pytest.fixture
def stored() -> Stored:
    return Stored()


@pytest.fixture
def machine() -> Machine:
    return Machine()


@pytest.fixture
async def numbers(stored: Stored, machine: Machine) -> BatchNumbers:
    numbers = BatchNumbers(stored.seq, stored.store, asleep_s=machine.asleep_s)
    await numbers.reserve()
    return numbers


async def take(numbers: BatchNumbers) -> int:
    await numbers.reserve()
    return numbers.take()


async def test_numbers_are_contiguous_and_storing_them_is_rare(numbers: BatchNumbers, stored: Stored) -> None:
    assert [await take(numbers) for _ in range(2_000)] == list(range(1, 2_001))
    assert numbers.last == 2_000
    assert stored.times <= 10


async def test_a_number_is_stored_as_used_before_it_is_used(numbers: BatchNumbers, stored: Stored) -> None:
    for _ in range(600):
        assert await take(numbers) <= stored.seq


async def test_after_a_skip_there_is_a_gap_and_then_none(numbers: BatchNumbers) -> None:
    before = await take(numbers)
    numbers.skip()
    listed = numbers.last
    assert listed > before
    assert await take(numbers) == listed + 1


async def test_a_skip_for_which_no_number_is_stored_is_made_up_for(stored: Stored) -> None:
    numbers = BatchNumbers(7, stored.store)
    numbers.skip()
    assert numbers.last == 7
    assert await take(numbers) == 9


async def test_no_number_is_taken_that_could_not_be_stored(stored: Stored) -> None:
    numbers = BatchNumbers(0, stored.store)
    stored.is_full = True
    with pytest.raises(DatabaseClosed):
        await numbers.reserve()
    with pytest.raises(RuntimeError, match="not reserved"):
        numbers.take()
    stored.is_full = False
    assert await take(numbers) == 1


async def test_a_sleep_is_a_gap_and_clocks_that_drift_are_none(numbers: BatchNumbers, machine: Machine) -> None:
    assert await take(numbers) == 1
    for _ in range(9):
        machine.slept_s += 0.5
        assert numbers.last == 1
    assert await take(numbers) == 2
    machine.slept_s += 5
    assert await take(numbers) == 4
    assert await take(numbers) == 5


async def test_who_lists_after_a_sleep_sees_no_gap(numbers: BatchNumbers, machine: Machine) -> None:
    machine.slept_s += 60
    listed = numbers.last
    assert await take(numbers) == listed + 1


def test_this_machine_can_say_how_long_it_slept() -> None:
    assert asleep_s() == pytest.approx(asleep_s(), abs=1)


lives: Final = st.lists(st.lists(st.sampled_from(("batch", "skip", "list")), max_size=12), min_size=1, max_size=5)


@given(lives)
async def test_over_any_kills_no_number_is_used_twice_and_every_loss_is_a_gap(lives: list[list[str]]) -> None:
    stored = Stored()
    highest = 0
    # Of a client that lists, sees batches, and misses what is skipped.
    seen, has_missed = 0, False
    for life in lives:
        numbers = BatchNumbers(stored.seq, stored.store)
        await numbers.reserve()
        for step in ("skip", *life, "batch"):
            if step == "skip":
                numbers.skip()
                has_missed = True
            elif step == "list":
                seen, has_missed = numbers.last, False
            else:
                seq = await take(numbers)
                assert seq > highest
                assert (seq > seen + 1) is has_missed
                # Whoever sees a gap lists again.
                seen = highest = seq
                has_missed = False
