"""What the processes hold over time, how quickly the daemon answers, and whether anything grows."""

import asyncio
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from statistics import median
from typing import Final

import psutil  # type: ignore[import-untyped]

from scripts.benchmarks.measure import percentile
from scripts.soaking.world import World

SAMPLE_INTERVAL_S: Final = 5.0
MAX_ANSWER_MS: Final = 100.0
# Right after it was away it has a backlog.
_RECOVERY_S: Final = 1.0
_MIB: Final = 1024 * 1024
# With fewer of them nothing is said: a single slow answer, or a start, would count too much.
_MIN_SAMPLES: Final = 8
_MIN_ANSWERS: Final = 200


@dataclass(frozen=True)
class Series:
    """Samples in the order they were taken. What holds things may grow by a quarter, and by ``slack`` besides."""

    what: str
    values: Sequence[float]
    slack: float

    @property
    def quarters(self) -> tuple[float, float]:
        """The medians of the first quarter and the last."""
        size = max(len(self.values) // 4, 1)
        return median(self.values[:size]), median(self.values[-size:])

    @property
    def grows(self) -> bool:
        first, last = self.quarters
        return len(self.values) >= _MIN_SAMPLES and last > first * 1.25 + self.slack


@dataclass
class Samples:
    """``held``: by a process's name, id and what is counted; each life of a process is a series of its own."""

    world: World
    held: dict[tuple[str, int, str], list[float]] = field(default_factory=dict)
    answers_ms: dict[str, list[tuple[float, float, float]]] = field(default_factory=dict)

    async def take(self) -> None:
        """Until the world is over."""
        due_s = time.monotonic()
        while not self.world.is_over:
            if time.monotonic() >= due_s:
                due_s = time.monotonic() + SAMPLE_INTERVAL_S
                await asyncio.to_thread(self._sample)
            await asyncio.sleep(0.2)

    async def probe(self) -> None:
        """Have another process ask the daemon, as this one is busy itself. Until the world is over."""
        machine = self.world.machine
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "scripts.soaking.probe", str(machine.home), str(machine.control_port)),
            stdout=asyncio.subprocess.PIPE,
        )
        try:
            assert process.stdout is not None
            while not self.world.is_over:
                path, began_s, took_ms = (await process.stdout.readline()).decode().split()
                at_s = float(began_s)
                self.answers_ms.setdefault(path, []).append((at_s, at_s + float(took_ms) / 1000, float(took_ms)))
        finally:
            process.kill()
            await process.wait()

    def series(self) -> Iterator[Series]:
        """Of each process's longest life."""
        for name in ("daemon", "keeper", "relay"):
            for what, slack in (("memory, MB", 16.0), ("descriptors", 8.0)):
                lives = [values for (whose, _, kind), values in self.held.items() if (whose, kind) == (name, what)]
                if lives:
                    yield Series(f"{name}: {what}", max(lives, key=len), slack)

    def answers(self) -> Iterator[tuple[str, list[float]]]:
        """In ms, while the daemon was there to answer."""
        for path, answers in self.answers_ms.items():
            yield path, [took_ms for began_s, ended_s, took_ms in answers if self._was_there(began_s, ended_s)]

    def faults(self) -> Iterator[str]:
        """A sentence for each thing that is not as it must be."""
        for series in self.series():
            if series.grows:
                first, last = series.quarters
                yield f"{series.what} grew from {first:.1f} to {last:.1f}."
        for path, answers in self.answers():
            if len(answers) >= _MIN_ANSWERS and (usual := percentile(answers, 99)) > MAX_ANSWER_MS:
                yield f"{path} took {usual:.0f} ms (99th percentile), which is more than {MAX_ANSWER_MS:g} ms."

    def table(self) -> str:
        head = f"{'':24}{'min':>9}{'median':>9}{'max':>9}{'1st quarter':>13}{'last':>9}{'growth':>9}"
        rows = [_row(series.what, series.values, series.quarters) for series in self.series()]
        rows += [f"{_row(f'{path}, ms', ms)}  99 %: {percentile(ms, 99):.1f}" for path, ms in self.answers() if ms]
        return "\n".join([head, *rows])

    def _was_there(self, began_s: float, ended_s: float) -> bool:
        return not any(began_s < to_s + _RECOVERY_S and ended_s > from_s for from_s, to_s in self.world.away)

    def _sample(self) -> None:
        daemon, relay = self.world.machine.daemon_pid, self.world.relay.process
        with suppress(psutil.Error):
            if relay is not None:
                self._note("relay", psutil.Process(relay.pid))
            if daemon is not None:
                self._note("daemon", psutil.Process(daemon))
                for child in psutil.Process(daemon).children():
                    if "host.processes.keeper" in " ".join(child.cmdline()):
                        self._note("keeper", child)

    def _note(self, name: str, process: psutil.Process) -> None:
        memory, descriptors = process.memory_info().rss / _MIB, process.num_fds()
        self.held.setdefault((name, process.pid, "memory, MB"), []).append(memory)
        self.held.setdefault((name, process.pid, "descriptors"), []).append(descriptors)


def _row(what: str, values: Sequence[float], quarters: tuple[float, float] | None = None) -> str:
    row = f"{what:24}{min(values):9.1f}{median(values):9.1f}{max(values):9.1f}"
    if quarters is None:
        return row
    first, last = quarters
    return f"{row}{first:13.1f}{last:9.1f}{(last - first) / first:9.0%}" if first else row
