"""What a client connection waits for, and how the waiting ends."""

import asyncio

import pytest

from host.protocol.errors import MachineOffline, ProtocolError, RateLimited, RequestTimeout
from host.protocol.limits import MAX_PENDING_REQUESTS
from relay_stub.pending import Pending, PendingRequests


class Waiting:
    """Pending requests whose failures are queued."""

    def __init__(self) -> None:
        self.failed: asyncio.Queue[tuple[str, type[ProtocolError]]] = asyncio.Queue()
        self.requests = PendingRequests(self._fail)

    def _fail(self, pending: Pending, error: ProtocolError) -> None:
        self.failed.put_nowait((pending.request_id, type(error)))

    def add(self, request_id: str, *, wire_type: str = "fs_list", machine: str = "m", timeout_s: float = 60) -> None:
        self.requests.add(request_id, request_type=wire_type, session_id=None, machine_key=machine, timeout_s=timeout_s)

    def settle(self, request_id: str) -> None:
        pending = self.requests.get(request_id)
        assert pending is not None
        self.requests.settle(pending)


@pytest.fixture
async def waiting() -> Waiting:
    return Waiting()


async def test_a_request_fails_once_when_its_time_is_over(waiting: Waiting) -> None:
    waiting.add("slow", timeout_s=0.01)
    waiting.add("slower", timeout_s=0.03)
    assert await waiting.failed.get() == ("slow", RequestTimeout)
    assert waiting.requests.get("slow") is None
    assert await waiting.failed.get() == ("slower", RequestTimeout)
    assert waiting.failed.empty()


async def test_an_answered_request_does_not_time_out(waiting: Waiting) -> None:
    waiting.add("answered", timeout_s=0.01)
    waiting.add("later", timeout_s=0.03)
    waiting.settle("answered")
    assert await waiting.failed.get() == ("later", RequestTimeout)


async def test_a_lost_machine_fails_its_requests_but_for_commands(waiting: Waiting) -> None:
    waiting.add("list")
    waiting.add("run", wire_type="command_exec")
    waiting.add("elsewhere", machine="other")
    waiting.requests.machine_lost("m")
    assert waiting.failed.get_nowait() == ("list", MachineOffline)
    assert waiting.failed.empty()
    assert waiting.requests.get("run")
    assert waiting.requests.get("elsewhere")
    waiting.requests.clear()


async def test_256_may_wait_and_one_more_is_refused_until_one_is_answered(waiting: Waiting) -> None:
    for number in range(MAX_PENDING_REQUESTS):
        waiting.add(str(number))
    with pytest.raises(RateLimited) as refused:
        waiting.add("too many")
    assert refused.value.details["retryAfterMs"] > 0
    waiting.settle("7")
    waiting.add("too many")
    waiting.requests.clear()


async def test_a_retry_takes_the_place_of_the_first_also_when_all_places_are_taken(waiting: Waiting) -> None:
    for number in range(MAX_PENDING_REQUESTS):
        waiting.add(str(number))
    waiting.add("0", timeout_s=0.01)
    assert await waiting.failed.get() == ("0", RequestTimeout)
    waiting.requests.clear()


async def test_a_retry_begins_its_time_anew(waiting: Waiting) -> None:
    waiting.add("again", timeout_s=0.01)
    waiting.add("again")
    waiting.add("meanwhile", timeout_s=0.03)
    assert await waiting.failed.get() == ("meanwhile", RequestTimeout)
    assert waiting.requests.get("again")
    waiting.requests.clear()


async def test_when_the_asker_is_gone_nothing_fails_any_more(waiting: Waiting) -> None:
    waiting.add("r1", timeout_s=0.01)
    waiting.requests.clear()
    waiting.requests.machine_lost("m")
    waiting.add("later", timeout_s=0.03)
    assert await waiting.failed.get() == ("later", RequestTimeout)
