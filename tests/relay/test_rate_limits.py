import pytest

from host.protocol.errors import RateLimited
from relay_stub import rate_limits
from relay_stub.rate_limits import Deed, Rate, RateLimits
from tests.relay.oauth.conftest import FakeClock

RATES: dict[Deed, Rate] = {"page": Rate(0.5, 3), "connect": Rate(0.5, 3), "user_code": Rate(0.5, 3)}


@pytest.fixture
def limits(clock: FakeClock) -> RateLimits:
    return RateLimits(RATES, clock=clock)


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


def allowed(limits: RateLimits, address: str, deed: Deed = "page") -> int:
    """How many come through before one does not."""
    for number in range(1000):
        try:
            limits.check(deed, address)
        except RateLimited:
            return number
    raise AssertionError("There is no limit.")


def test_so_many_at_once_and_then_so_many_a_second(limits: RateLimits, clock: FakeClock) -> None:
    assert allowed(limits, "192.0.2.1") == 3
    clock.advance(4)
    assert allowed(limits, "192.0.2.1") == 2
    clock.advance(3600)
    assert allowed(limits, "192.0.2.1") == 3


def test_who_is_refused_is_told_when_to_come_again(limits: RateLimits, clock: FakeClock) -> None:
    assert allowed(limits, "192.0.2.1") == 3
    with pytest.raises(RateLimited) as refusal:
        limits.check("page", "192.0.2.1")
    assert refusal.value.details["retryAfterMs"] == 2000
    clock.advance(2)
    limits.check("page", "192.0.2.1")


def test_addresses_and_deeds_are_counted_apart(limits: RateLimits) -> None:
    assert allowed(limits, "192.0.2.1") == 3
    assert allowed(limits, "192.0.2.2") == 3
    assert allowed(limits, "192.0.2.1", "connect") == 3


def test_one_ipv6_network_is_one_visitor(limits: RateLimits) -> None:
    assert allowed(limits, "2001:db8::1") == 3
    assert allowed(limits, "2001:db8::2") == 0


@pytest.mark.parametrize(("deed", "times"), [("page", 100), ("connect", 100), ("user_code", 10)])
def test_all_addresses_together_are_bounded_but_not_by_what_a_few_of_them_may_do(
    limits: RateLimits, deed: Deed, times: int
) -> None:
    assert sum(allowed(limits, f"192.0.2.{number}", deed) for number in range(150)) == 3 * times


def test_it_remembers_so_many_addresses_and_no_more(limits: RateLimits, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rate_limits, "MAX_ADDRESSES", 2)
    assert allowed(limits, "192.0.2.1") == 3
    limits.check("page", "192.0.2.2")
    assert allowed(limits, "192.0.2.1") == 0
    limits.check("page", "192.0.2.3")
    assert allowed(limits, "192.0.2.1") == 0, "The longest unused is forgotten first."
