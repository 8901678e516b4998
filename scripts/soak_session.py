"""A relay and a daemon at work while one fault follows the other: see ./scripts/soak."""

import argparse
import asyncio
import shutil
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Final

from scripts.soaking.faults import Faults
from scripts.soaking.samples import Samples
from scripts.soaking.work import Work
from scripts.soaking.world import World
from tests.end_to_end.following_phone import FollowingPhone
from tests.support.processes import bench_in
from tests.support.writers import Progress, check, write_through

# So often what was written is compared with what was accepted, and cleared away.
_ROUND_S: Final = 60.0
_KILLS_A_ROUND: Final = 10
# Kills belong to the first part. The rest shows whether one life's memory grows.
_PART_WITH_KILLS: Final = 1 / 3

Fault = Callable[[Progress], Awaitable[None]]


class Soak:
    """One run, and what came of it."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.faults = Faults(world)
        self.samples = Samples(world)
        self.work = Work(world)
        self.accepted = 0
        self.unknown = 0

    async def run(self, writing: Awaitable[None]) -> None:
        """Everything beside each other until ``writing`` is over. Raises an ExceptionGroup of what went wrong."""
        async with asyncio.TaskGroup() as group:
            for part in (
                self.world.keep_connected(),
                self.samples.take(),
                self.samples.probe(),
                self.work.flood(),
                self.work.edit(),
                self.work.come_and_go(),
                self.work.come_and_go(),
            ):
                group.create_task(part)
            await writing
            self.world.is_over = True
        await self._follow()

    async def for_minutes(self, minutes: float) -> None:
        began_s = time.monotonic()
        ends_s, kills_end_s = began_s + minutes * 60, began_s + minutes * 60 * _PART_WITH_KILLS
        while (now_s := time.monotonic()) < ends_s:
            fault = self.faults.any_and_kills if now_s < kills_end_s else self.faults.any
            await self._round(fault, _until(min(now_s + _ROUND_S, ends_s)))
            print(f"{(time.monotonic() - began_s) / 60:.1f} min: {self.told()}", flush=True)

    async def for_kills(self, kills: int) -> None:
        for done in range(0, kills, _KILLS_A_ROUND):
            await self._round(self.faults.kill, iter(range(min(_KILLS_A_ROUND, kills - done))))
            print(self.told(), flush=True)

    def told(self) -> str:
        faults = ", ".join(f"{count} {name}" for name, count in sorted(self.faults.done.items()))
        return (
            f"{self.accepted} writes accepted, {self.unknown} of unknown outcome; {self.work.floods} floods, "
            f"{self.work.unsure_floods} of unknown outcome; {len(self.work.batches)} batches of changes seen in "
            f"{self.work.visits} visits; faults: {faults}"
        )

    async def _round(self, fault: Fault, rounds: Iterator[object]) -> None:
        """Write through faults, see that all is there that was accepted, and clear it away."""
        written = self.world.written
        progress, writers = await write_through(self.world.relay.url, written.project_id, fault, faults=rounds)
        await asyncio.to_thread(check, written.root, writers)
        self.accepted += progress.accepted
        self.unknown += progress.unknown
        await asyncio.to_thread(_clear, written.root)

    async def _follow(self) -> None:
        """After all that the watch still tells everything."""
        await asyncio.to_thread(self.world.machine.wait_until_connected)
        watched = self.world.watched
        async with FollowingPhone.join(self.world.relay.url, watched.project_id) as phone:
            await phone.settle(watched.root)


def _until(ends_s: float) -> Iterator[None]:
    while time.monotonic() < ends_s:
        yield


def _clear(root: Path) -> None:
    for entry in root.iterdir():
        entry.unlink()


async def _soak(arguments: argparse.Namespace, directory: Path) -> list[str]:
    """What went wrong, in sentences."""
    faults: list[str] = []
    with bench_in(directory) as bench:
        async with World.open(bench) as world:
            soak = Soak(world)
            try:
                await soak.run(
                    soak.for_kills(arguments.kills) if arguments.kills else soak.for_minutes(arguments.minutes)
                )
            except* (AssertionError, TimeoutError) as group:
                faults += [f"{type(exc).__name__}: {exc}" for exc in _leaves(group)]
            world.is_over = True
            print(f"\n{soak.told()}\n\n{soak.samples.table()}")
            faults += soak.samples.faults()
            # While the proxy still serves.
            await asyncio.to_thread(bench.stop)
    return faults


def _leaves(group: BaseExceptionGroup[BaseException]) -> Iterator[BaseException]:
    for exc in group.exceptions:
        if isinstance(exc, BaseExceptionGroup):
            yield from _leaves(exc)
        else:
            yield exc


def main() -> int:
    parser = argparse.ArgumentParser(prog="./scripts/soak", description="Is anything lost, does anything grow?")
    parser.add_argument("--minutes", type=float, default=30.0, help="how long (default: %(default)g)")
    parser.add_argument("--kills", type=int, default=0, help="instead: so many kills, one after the other")
    arguments = parser.parse_args()
    if sys.platform != "linux":
        print("The soak counts descriptors and finds processes as Linux has them.", file=sys.stderr)
        return 1
    directory = Path(tempfile.mkdtemp(prefix="pocketcoder-soak-"))
    try:
        faults = asyncio.run(_soak(arguments, directory))
    except AssertionError as exc:
        faults = [str(exc)]
    for fault in faults:
        print(fault, file=sys.stderr)
    if faults:
        print(f"\nThe logs are kept in {directory}", file=sys.stderr)
        return 1
    shutil.rmtree(directory)
    return 0


if __name__ == "__main__":
    sys.exit(main())
