import asyncio
import logging

import pytest

from host.core.logging import request_id
from host.core.tasks import TaskSet, run_together


class Broken(Exception):
    pass


async def fail() -> None:
    raise Broken


async def end() -> None:
    pass


async def test_run_together_raises_what_the_first_one_raised_bare() -> None:
    with pytest.raises(Broken):
        await run_together(asyncio.sleep(60), fail())


async def test_run_together_ends_when_one_ends_and_waits_for_the_others_to_be_cancelled() -> None:
    cleaned_up = False

    async def tidy() -> None:
        nonlocal cleaned_up
        try:
            await asyncio.sleep(60)
        finally:
            await asyncio.sleep(0)
            cleaned_up = True

    await run_together(tidy(), end())

    assert cleaned_up


async def test_of_failures_at_the_same_time_the_first_in_the_list_counts() -> None:
    async def fail_otherwise() -> None:
        raise LookupError

    with pytest.raises(LookupError):
        await run_together(fail_otherwise(), fail())


async def test_what_ended_well_counts_ahead_of_what_failed_at_the_same_time() -> None:
    await run_together(end(), fail())


async def test_cancelling_run_together_cancels_all_and_waits_for_them() -> None:
    started, cancelled = asyncio.Event(), 0

    async def work() -> None:
        nonlocal cancelled
        started.set()
        try:
            await asyncio.sleep(60)
        finally:
            cancelled += 1

    together = asyncio.create_task(run_together(work(), work()))
    await started.wait()
    together.cancel()
    with pytest.raises(asyncio.CancelledError):
        await together

    assert cancelled == 2


async def test_a_failure_in_a_task_set_is_logged_and_ends_only_itself(caplog: pytest.LogCaptureFixture) -> None:
    tasks, go_on, ended = TaskSet(), asyncio.Event(), False

    async def wait() -> None:
        nonlocal ended
        await go_on.wait()
        ended = True

    tasks.spawn(wait())
    tasks.spawn(fail(), name="the broken one")
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert len(tasks) == 1
    go_on.set()
    await tasks.drain()

    assert ended
    (record,) = [record for record in caplog.records if record.levelno == logging.ERROR]
    assert "the broken one" in record.message
    assert record.exc_info is not None


async def test_draining_waits_also_for_what_is_spawned_meanwhile() -> None:
    tasks, done = TaskSet(), []

    async def spawn(depth: int) -> None:
        await asyncio.sleep(0)
        done.append(depth)
        if depth:
            tasks.spawn(spawn(depth - 1))

    tasks.spawn(spawn(3))
    await tasks.drain()

    assert done == [3, 2, 1, 0]
    assert len(tasks) == 0


async def test_cancelling_a_task_set_waits_until_nothing_runs_and_logs_nothing(
    caplog: pytest.LogCaptureFixture,
) -> None:
    tasks, cleaned_up = TaskSet(), []

    async def tidy() -> None:
        try:
            await asyncio.sleep(60)
        finally:
            await asyncio.sleep(0)
            cleaned_up.append(1)

    for _ in range(3):
        tasks.spawn(tidy())
    await asyncio.sleep(0)
    await tasks.cancel()

    assert cleaned_up == [1, 1, 1]
    assert len(tasks) == 0
    assert not caplog.records


async def test_background_work_bears_no_requests_id() -> None:
    seen: list[str] = []

    async def look() -> None:
        seen.append(request_id.get())

    tasks = TaskSet()
    token = request_id.set("r1")
    tasks.spawn(look())
    await tasks.drain()
    assert (seen, request_id.get()) == ([""], "r1")
    request_id.reset(token)
