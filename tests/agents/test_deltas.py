import asyncio

from host.agents.deltas import MAX_HELD_CHARS, Deltas


class Phone:
    """Takes what is sent while it can."""

    def __init__(self) -> None:
        self.can_take = True
        self.tries = 0
        self.taken: list[str] = []
        self._tried = asyncio.Event()

    def send(self, text: str) -> bool:
        self.tries += 1
        if self.can_take:
            self.taken.append(text)
        self._tried.set()
        return self.can_take

    async def until_tried(self, times: int) -> None:
        async with asyncio.timeout(10):
            while self.tries < times:
                self._tried.clear()
                await self._tried.wait()


async def test_the_first_piece_goes_at_once_and_the_next_ones_together() -> None:
    phone = Phone()
    deltas = Deltas(phone.send, interval_s=0.01)
    for piece in "abcd":
        deltas.add(piece)
    assert phone.taken == ["a"]
    await phone.until_tried(2)
    assert phone.taken == ["a", "bcd"]
    deltas.flush()


async def test_what_is_held_goes_before_whatever_follows() -> None:
    phone = Phone()
    deltas = Deltas(phone.send, interval_s=60)
    for piece in "abc":
        deltas.add(piece)
    deltas.flush()
    deltas.flush()
    assert phone.taken == ["a", "bc"]
    deltas.add("d")
    assert phone.taken == ["a", "bc", "d"]
    deltas.flush()


async def test_what_cannot_be_sent_is_tried_again_with_what_came_since() -> None:
    phone = Phone()
    deltas = Deltas(phone.send, interval_s=0.01)
    phone.can_take = False
    deltas.add("a")
    deltas.add("b")
    await phone.until_tried(3)
    phone.can_take = True
    tries = phone.tries
    await phone.until_tried(tries + 1)
    assert phone.taken == ["ab"]
    deltas.flush()


async def test_no_more_is_held_than_there_is_room_for() -> None:
    phone = Phone()
    deltas = Deltas(phone.send, interval_s=0.01)
    phone.can_take = False
    deltas.add("x" * (MAX_HELD_CHARS + 1))
    phone.can_take = True
    deltas.add("y")
    deltas.flush()
    assert phone.taken == ["y"]


async def test_what_is_held_at_the_end_is_dropped_where_it_cannot_be_sent() -> None:
    phone = Phone()
    deltas = Deltas(phone.send, interval_s=60)
    phone.can_take = False
    deltas.add("a")
    deltas.flush()
    phone.can_take = True
    deltas.flush()
    assert phone.taken == []
