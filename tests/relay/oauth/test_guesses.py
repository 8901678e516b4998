import pytest

from host.protocol.errors import RateLimited
from relay_stub.oauth.identity import guesses
from relay_stub.oauth.identity.guesses import FOR_ALL, FOR_ONE, Guesses
from tests.relay.oauth.conftest import FakeClock

GUESSER, OWNER = "192.0.2.1", "192.0.2.2"


@pytest.fixture
def counted(clock: FakeClock) -> Guesses:
    return Guesses(clock=clock)


def wait_s(counted: Guesses, address: str) -> float:
    """How long an answer from there has to wait; it is counted if it has not to."""
    try:
        counted.begin(address)
    except RateLimited as refusal:
        return float(refusal.details["retryAfterMs"]) / 1000
    return 0.0


def test_each_wrong_answer_past_the_first_few_makes_the_next_wait_longer(counted: Guesses, clock: FakeClock) -> None:
    assert [wait_s(counted, GUESSER) for _ in range(FOR_ONE.free)] == [0.0] * FOR_ONE.free
    waits = []
    for _ in range(12):
        assert wait_s(counted, GUESSER) == 0.0
        waits.append(wait_s(counted, GUESSER))
        clock.advance(waits[-1])
    assert waits == [1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 900, 900]


def test_asking_meanwhile_is_refused_and_not_counted(counted: Guesses, clock: FakeClock) -> None:
    for _ in range(FOR_ONE.free + 1):
        counted.begin(GUESSER)
    for _ in range(100):
        assert wait_s(counted, GUESSER) == 1.0
    clock.advance(1)
    assert wait_s(counted, GUESSER) == 0.0


def test_many_at_once_gain_nothing(counted: Guesses) -> None:
    """Each is counted before it is looked at."""
    assert sum(wait_s(counted, GUESSER) == 0.0 for _ in range(1000)) == FOR_ONE.free + 1


def test_one_who_guesses_does_not_slow_another(counted: Guesses) -> None:
    while wait_s(counted, GUESSER) == 0.0:
        pass
    assert wait_s(counted, OWNER) == 0.0


def test_who_comes_from_where_somebody_is_signed_in_does_not_wait_for_what_others_guess(clock: FakeClock) -> None:
    counted = Guesses(OWNER.__eq__, clock=clock)
    for number in range(1000):
        wait_s(counted, f"2001:db8:0:{number:x}::1")
    assert wait_s(counted, "192.0.2.3") > 0
    assert [wait_s(counted, OWNER) for _ in range(FOR_ONE.free + 1)] == [0.0] * (FOR_ONE.free + 1)
    assert wait_s(counted, OWNER) == 1.0, "What it guesses itself counts."


def test_a_right_answer_begins_anew(counted: Guesses) -> None:
    for _ in range(100):
        counted.begin(OWNER)
        counted.succeeded(OWNER)


def test_many_guessers_slow_everybody_but_never_by_much(counted: Guesses, clock: FakeClock) -> None:
    for number in range(FOR_ALL.free + 40):
        clock.advance(FOR_ALL.cap_s)
        counted.begin(f"198.51.100.{number}")
    assert wait_s(counted, OWNER) == FOR_ALL.cap_s
    clock.advance(FOR_ALL.cap_s)
    counted.begin(OWNER)
    counted.succeeded(OWNER)
    assert wait_s(counted, OWNER) == 0.0


def test_an_hour_without_a_wrong_answer_forgives(counted: Guesses, clock: FakeClock) -> None:
    while wait_s(counted, GUESSER) == 0.0:
        pass
    clock.advance(3600)
    assert [wait_s(counted, GUESSER) for _ in range(FOR_ONE.free + 1)] == [0.0] * (FOR_ONE.free + 1)


def test_an_ipv6_guesser_has_one_network(counted: Guesses) -> None:
    assert sum(wait_s(counted, f"2001:db8::{number}") == 0.0 for number in range(100)) == FOR_ONE.free + 1


def test_it_remembers_so_many_addresses_and_no_more(counted: Guesses, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(guesses, "MAX_ADDRESSES", 2)
    while wait_s(counted, GUESSER) == 0.0:
        pass
    counted.begin("192.0.2.2")
    assert wait_s(counted, GUESSER) > 0
    counted.begin("192.0.2.3")
    counted.begin("192.0.2.4")
    assert wait_s(counted, GUESSER) == 0.0
