import asyncio

import pytest

from host.relay.outbox import Outbox


async def test_frames_are_taken_in_the_order_they_were_put() -> None:
    outbox = Outbox()
    outbox.open()
    for frame in (b"1", b"2", b"3"):
        assert await outbox.put(frame) is True

    assert [await outbox.take() for _ in range(3)] == [b"1", b"2", b"3"]
    assert outbox.queued_bytes == 0


async def test_a_closed_outbox_takes_nothing_and_keeps_nobody_waiting() -> None:
    outbox = Outbox()
    assert await outbox.put(b"before it opened") is False
    outbox.open()
    await outbox.put(b"dropped")
    outbox.close()
    assert await outbox.put(b"after it closed") is False
    await outbox.flushed()

    outbox.open()
    await outbox.put(b"new")
    assert await outbox.take() == b"new"


async def test_who_puts_waits_until_there_is_room() -> None:
    outbox = Outbox(capacity_bytes=10)
    outbox.open()
    await outbox.put(b"x" * 8)
    waiting = asyncio.create_task(outbox.put(b"y" * 3))
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(asyncio.shield(waiting), 0.02)
    assert outbox.queued_bytes == 8
    await outbox.take()

    assert await waiting is True
    assert outbox.queued_bytes == 3


async def test_a_frame_larger_than_the_bound_goes_alone_rather_than_never() -> None:
    outbox = Outbox(capacity_bytes=10)
    outbox.open()

    assert await asyncio.wait_for(outbox.put(b"x" * 100), 1) is True


async def test_who_waits_for_room_gets_it_in_turn_also_when_a_smaller_frame_would_fit() -> None:
    outbox = Outbox(capacity_bytes=10)
    outbox.open()
    await outbox.put(b"1" * 6)
    await outbox.put(b"2" * 2)
    large = asyncio.create_task(outbox.put(b"3" * 10))
    small = asyncio.create_task(outbox.put(b"4"))
    await asyncio.sleep(0)
    assert outbox.offer(b"5") is False

    assert [(await outbox.take())[:1] for _ in range(4)] == [b"1", b"2", b"3", b"4"]
    assert (await large, await small) == (True, True)


async def test_who_gave_up_waiting_takes_no_room() -> None:
    outbox = Outbox(capacity_bytes=10)
    outbox.open()
    await outbox.put(b"1" * 10)
    impatient = asyncio.create_task(outbox.put(b"2"))
    patient = asyncio.create_task(outbox.put(b"3"))
    await asyncio.sleep(0)
    impatient.cancel()
    await asyncio.gather(impatient, return_exceptions=True)

    assert [(await outbox.take())[:1] for _ in range(2)] == [b"1", b"3"]
    assert await patient is True


def test_an_offer_is_queued_at_once_or_not_at_all() -> None:
    outbox = Outbox(capacity_bytes=10)
    assert outbox.offer(b"before it opened") is False
    outbox.open()

    assert outbox.offer(b"x" * 8) is True
    assert outbox.offer(b"y" * 3) is False
    assert outbox.queued_bytes == 8


async def test_closing_lets_those_go_on_who_wait_for_room() -> None:
    outbox = Outbox(capacity_bytes=10)
    outbox.open()
    await outbox.put(b"x" * 10)
    waiting = [asyncio.create_task(outbox.put(b"y" * 10)) for _ in range(5)]
    await asyncio.sleep(0)
    outbox.close()

    assert await asyncio.wait_for(asyncio.gather(*waiting), 1) == [False] * 5


async def test_flushed_waits_until_the_taker_has_done_with_the_last_frame() -> None:
    outbox = Outbox()
    outbox.open()
    await outbox.put(b"1")
    flushed = asyncio.create_task(outbox.flushed())
    await asyncio.sleep(0)
    assert not flushed.done()
    await outbox.take()
    await asyncio.sleep(0)
    assert not flushed.done()
    taker = asyncio.create_task(outbox.take())

    await asyncio.wait_for(flushed, 1)
    taker.cancel()


async def test_flushed_does_not_wait_for_a_taker_that_is_gone() -> None:
    outbox = Outbox()
    outbox.open()
    await outbox.put(b"1")
    await outbox.take()
    outbox.close()

    await asyncio.wait_for(outbox.flushed(), 1)
