"""What a thread saw reaches the event loop in order, in parts, and never without bound."""

import asyncio
from collections.abc import Sequence
from pathlib import Path

from host.watch.mailbox import Letter, Mailbox, Signal
from host.watch.port import MAX_CHANGES_A_CALL, RUNNING, STARTING, Change
from tests.support.watching import Recorder


def changes(count: int) -> list[Letter]:
    return [Change("create", f"file-{number}", is_dir=False) for number in range(count)]


class Ordered(Recorder):
    """Keeps the order of all that it is told."""

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        self.order: list[object] = []

    def changed(self, changes: Sequence[Change]) -> None:
        super().changed(changes)
        self.order.append(len(changes))

    def lost(self) -> None:
        super().lost()
        self.order.append("lost")

    def git_changed(self) -> None:
        super().git_changed()
        self.order.append("git")


async def test_letters_come_in_order_and_in_parts(tmp_path: Path) -> None:
    listener = Ordered(tmp_path)
    mailbox = Mailbox(listener)
    assert mailbox.state == STARTING
    letters = [RUNNING, Signal.LOST, *changes(MAX_CHANGES_A_CALL), Signal.GIT_CHANGED, *changes(3)]
    await asyncio.to_thread(mailbox.put, letters)
    await listener.until(lambda: len(listener.changes) == MAX_CHANGES_A_CALL + 3)
    assert listener.order[0] == "lost"
    assert listener.order[-2:] == ["git", 3]
    assert mailbox.state == RUNNING


async def test_a_listener_that_is_far_behind_is_told_that_it_lost_something(tmp_path: Path) -> None:
    listener = Ordered(tmp_path)
    mailbox = Mailbox(listener, max_waiting=100)
    await asyncio.to_thread(mailbox.put, [RUNNING, *changes(101)])
    await listener.until(lambda: listener.losses == 1)
    assert listener.changes == []
    assert mailbox.state == RUNNING


async def test_nothing_is_delivered_once_it_is_closed(tmp_path: Path) -> None:
    listener = Ordered(tmp_path)
    mailbox = Mailbox(listener)
    mailbox.put([Signal.LOST])
    mailbox.close()
    await asyncio.sleep(0)
    assert listener.order == []
