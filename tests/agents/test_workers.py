import asyncio
from collections import Counter
from dataclasses import dataclass, field

from host.agents.workers import Workers


@dataclass
class Work:
    """Pieces of work by session; each is done when the test lets it be."""

    left: Counter[str] = field(default_factory=Counter)
    begun: list[str] = field(default_factory=list)
    at_once: Counter[str] = field(default_factory=Counter)
    most_at_once: int = 0
    go_on: asyncio.Event = field(default_factory=asyncio.Event)

    async def do(self, session: str) -> bool:
        if not self.left[session]:
            return False
        self.left[session] -= 1
        self.begun.append(session)
        self.at_once[session] += 1
        assert self.at_once[session] == 1
        self.most_at_once = max(self.most_at_once, self.at_once.total())
        await self.go_on.wait()
        self.at_once[session] -= 1
        return True


async def finished(workers: Workers) -> None:
    async with asyncio.timeout(10):
        await workers.finished()


async def test_each_session_is_worked_on_to_the_end_of_its_work() -> None:
    work = Work(Counter(a=3, b=1))
    workers = Workers(work.do, limit=2)
    for session in "ab":
        workers.wake(session)
    work.go_on.set()
    await finished(workers)
    assert sorted(work.begun) == ["a", "a", "a", "b"]


async def test_no_more_are_worked_on_at_once_than_the_limit_and_those_that_wait_go_in_turn() -> None:
    work = Work(Counter(dict.fromkeys("abcde", 2)))
    workers = Workers(work.do, limit=2)
    for session in "abcde":
        workers.wake(session)
    await asyncio.sleep(0)
    assert work.begun == ["a", "b"]
    work.go_on.set()
    await finished(workers)
    assert work.most_at_once == 2
    assert work.begun[:5] == list("abcde")
    assert Counter(work.begun) == Counter(dict.fromkeys("abcde", 2))


async def test_work_that_comes_while_its_session_is_looked_at_is_done() -> None:
    work = Work()
    workers = Workers(work.do, limit=1)
    for _ in range(100):
        workers.wake("a")
        await asyncio.sleep(0)
        work.left["a"] += 1
        workers.wake("a")
        work.go_on.set()
        await finished(workers)
    assert len(work.begun) == 100


async def test_a_claim_keeps_a_place_until_it_is_woken() -> None:
    work = Work(Counter(a=1, b=1))
    workers = Workers(work.do, limit=1)
    assert workers.claim("a")
    assert workers.claim("a")
    assert not workers.claim("b")
    workers.wake("b")
    await asyncio.sleep(0)
    assert work.begun == []
    work.go_on.set()
    workers.wake("a")
    await finished(workers)
    assert work.begun == ["a", "b"]


async def test_a_claim_that_came_to_nothing_lets_the_next_one_in() -> None:
    work = Work(Counter(b=1))
    workers = Workers(work.do, limit=1)
    assert workers.claim("a")
    workers.wake("b")
    workers.wake("a")
    work.go_on.set()
    await finished(workers)
    assert work.begun == ["b"]
    assert workers.claim("c")


async def test_nobody_is_let_past_those_that_wait() -> None:
    work = Work(Counter(a=1, b=1))
    workers = Workers(work.do, limit=1)
    for session in "ab":
        workers.wake(session)
    assert workers.claim("a")
    assert not workers.claim("b")
    work.go_on.set()
    await finished(workers)
    assert workers.claim("b")


async def test_once_stopped_nothing_is_begun() -> None:
    work = Work(Counter(a=2, b=1))
    workers = Workers(work.do, limit=1)
    for session in "ab":
        workers.wake(session)
    await asyncio.sleep(0)
    workers.stop()
    work.go_on.set()
    await finished(workers)
    assert work.begun == ["a"]
    assert not workers.claim("c")
