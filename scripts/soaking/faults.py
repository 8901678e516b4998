"""What goes wrong in a soak, one thing after the other, at random."""

import asyncio
import os
import random
import signal
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Final

from scripts.soaking.world import World
from tests.support.host import eventually
from tests.support.writers import Progress

_RESET_TIMEOUT_S: Final = 20.0
_PAUSE_S: Final = (1.0, 5.0)
_PAUSE_AFTER_KILL_S: Final = (0.0, 4.0)


@dataclass
class Faults:
    """``done`` counts them by name."""

    world: World
    done: Counter[str] = field(default_factory=Counter)

    async def any(self, progress: Progress) -> None:
        """Of the network, or a daemon that stands still; both processes live on."""
        await self._one_of(progress, [self._cut, self._reset, self._swallow, self._slow, self._stand_still])

    async def any_and_kills(self, progress: Progress) -> None:
        """Of all kinds."""
        network = [self._cut, self._reset, self._swallow, self._slow, self._stand_still]
        await self._one_of(progress, [*network, self._kill_daemon, self._kill_relay])

    async def kill(self, progress: Progress) -> None:
        """Of the daemon mostly, else of the relay; the next one may come at once, or when all works again."""
        await self._do(random.choice((self._kill_daemon, self._kill_daemon, self._kill_relay)), progress)
        await asyncio.sleep(random.uniform(*_PAUSE_AFTER_KILL_S))

    async def _one_of(self, progress: Progress, kinds: list[Callable[[Progress], Awaitable[None]]]) -> None:
        await self._do(random.choice(kinds), progress)
        await asyncio.sleep(random.uniform(*_PAUSE_S))

    async def _do(self, fault: Callable[[Progress], Awaitable[None]], progress: Progress) -> None:
        self.done[fault.__name__.strip("_").replace("_", " ")] += 1
        await fault(progress)

    async def _cut(self, _: Progress) -> None:
        self.world.proxy.cut()

    async def _reset(self, _: Progress) -> None:
        """In the middle of a frame."""
        proxy = self.world.proxy
        proxy.bytes_until_reset = random.randint(1, 400)
        await eventually(lambda: proxy.bytes_until_reset is None, _RESET_TIMEOUT_S)

    async def _swallow(self, _: Progress) -> None:
        proxy = self.world.proxy
        proxy.is_swallowing = True
        await asyncio.sleep(random.uniform(0.2, 2))
        proxy.is_swallowing = False
        # What was swallowed is missing in the middle of the stream.
        proxy.cut()

    async def _slow(self, _: Progress) -> None:
        proxy = self.world.proxy
        proxy.delay_s, proxy.bytes_per_s = 0.05, 100_000
        await asyncio.sleep(random.uniform(0.5, 3))
        proxy.delay_s, proxy.bytes_per_s = 0.0, float("inf")

    async def _stand_still(self, _: Progress) -> None:
        """As on a laptop whose lid was closed for a moment."""
        pid = self.world.machine.daemon_pid
        assert pid is not None, "The daemon is gone."
        with self.world.daemon_is_away():
            os.kill(pid, signal.SIGSTOP)
            try:
                await asyncio.sleep(random.uniform(0.5, 3))
            finally:
                os.kill(pid, signal.SIGCONT)

    async def _kill_daemon(self, progress: Progress) -> None:
        machine = self.world.machine
        with self.world.daemon_is_away():
            await asyncio.to_thread(machine.kill)
            # Before it the writes of now may be cut off; those that begin now are not.
            progress.daemon_kills += 1
            self.world.daemon_kills += 1
            await asyncio.to_thread(machine.start)

    async def _kill_relay(self, _: Progress) -> None:
        await asyncio.to_thread(self.world.relay.kill)
        await asyncio.to_thread(self.world.relay.start)
