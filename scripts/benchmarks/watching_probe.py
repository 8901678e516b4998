"""A process that watches a directory and answers for it: ROOT [ticking].

Prints a line of JSON when it is ready, and one for each question that it reads.
"""

import asyncio
import json
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from statistics import median
from typing import Final

from host.watch.inotify_watcher import InotifyWatcher
from host.watch.port import Change, WatchState

_TICK_S: Final = 0.001
_WRITES: Final = 100
_PAUSE_S: Final = 0.07


class _Listener:
    def __init__(self) -> None:
        self.happened = asyncio.Event()
        self.paths: set[str] = set()
        self.losses = 0
        self.last_s = 0.0

    def changed(self, changes: Sequence[Change]) -> None:
        self.last_s = time.monotonic()
        self.paths.update(change.path for change in changes)
        self.happened.set()

    def lost(self) -> None:
        self.losses += 1
        self.happened.set()

    def git_changed(self) -> None: ...

    def state_changed(self, state: WatchState) -> None: ...


async def main() -> None:
    root = Path(sys.argv[1])
    ticking = asyncio.create_task(_worst_delay()) if "ticking" in sys.argv else None
    watcher, listener = InotifyWatcher(), _Listener()
    start_s = time.perf_counter()
    watcher.watch(root, listener)
    await listener.happened.wait()
    ready_ms = (time.perf_counter() - start_s) * 1000
    if ticking is not None:
        ticking.cancel()
    delay_ms = await ticking if ticking is not None else 0.0
    _print(readyMs=ready_ms, delayMs=delay_ms)
    questions = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(questions), sys.stdin)
    while question := await questions.readline():
        if question == b"latency\n":
            _print(p50Ms=await _latency_ms(root, listener))
        elif question == b"count\n":
            _print(paths=len(listener.paths), losses=listener.losses, lastS=listener.last_s)
    await watcher.close()


async def _worst_delay() -> float:
    worst_s = 0.0
    try:
        while True:
            start_s = time.perf_counter()
            await asyncio.sleep(_TICK_S)
            worst_s = max(worst_s, time.perf_counter() - start_s - _TICK_S)
    except asyncio.CancelledError:
        return worst_s * 1000


async def _latency_ms(root: Path, listener: _Listener) -> float:
    """From before a file is written until the listener is told."""
    taken_ms: list[float] = []
    for number in range(_WRITES):
        await asyncio.sleep(_PAUSE_S)
        listener.happened.clear()
        start_s = time.perf_counter()
        (root / "latency.txt").write_text(str(number))
        await listener.happened.wait()
        taken_ms.append((time.perf_counter() - start_s) * 1000)
    return median(taken_ms)


def _print(**answer: float) -> None:
    print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    asyncio.run(main())
