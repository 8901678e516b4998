import asyncio

import pytest

from host.git.locks import RepositoryLocks
from host.protocol.errors import DaemonBusy

WAIT_S = 10.0


async def test_holders_never_overlap_and_come_in_their_order() -> None:
    locks = RepositoryLocks()
    order: list[int] = []
    inside = 0

    async def change(number: int) -> None:
        nonlocal inside
        async with locks.held("repository", "git_commit", wait_s=WAIT_S):
            inside += 1
            assert inside == 1
            order.append(number)
            await asyncio.sleep(0)
            inside -= 1

    await asyncio.gather(*(change(number) for number in range(20)))
    assert order == list(range(20))


async def test_different_repositories_do_not_wait_for_each_other() -> None:
    locks = RepositoryLocks()
    async with locks.held("one", "git_push", wait_s=WAIT_S), locks.held("two", "git_push", wait_s=0.01):
        pass


async def test_who_waits_too_long_is_told_for_what_and_the_next_one_gets_its_turn() -> None:
    locks = RepositoryLocks()
    async with locks.held("repository", "git_push", wait_s=WAIT_S):
        with pytest.raises(DaemonBusy, match=r"\(git_push\)"):
            async with locks.held("repository", "git_commit", wait_s=0.01):
                raise AssertionError
    async with locks.held("repository", "git_commit", wait_s=0.01):
        pass


async def test_too_many_are_turned_away() -> None:
    locks = RepositoryLocks(max_waiting=1)

    async def wait() -> None:
        async with locks.held("repository", "git_commit", wait_s=WAIT_S):
            pass

    async with locks.held("repository", "git_push", wait_s=WAIT_S):
        waiting = asyncio.create_task(wait())
        await asyncio.sleep(0)
        with pytest.raises(DaemonBusy):
            await wait()
    await waiting


async def test_a_failure_or_a_cancelled_wait_leaves_nothing_behind() -> None:
    locks = RepositoryLocks()

    async def fail() -> None:
        async with locks.held("repository", "git_commit", wait_s=WAIT_S):
            await asyncio.sleep(0)
            raise ZeroDivisionError

    failing, waiting, last = (asyncio.create_task(fail()) for _ in range(3))
    await asyncio.sleep(0)
    waiting.cancel()
    results = await asyncio.gather(failing, waiting, last, return_exceptions=True)
    assert [type(result) for result in results] == [ZeroDivisionError, asyncio.CancelledError, ZeroDivisionError]
    assert not locks._queues
