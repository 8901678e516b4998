"""Measuring two things in turn, so that what else the machine does falls on both alike."""

import math
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Literal

Samples = list[float]


@dataclass(frozen=True)
class Effort:
    """How long to measure. ``rounds`` suits things of 10 to 100 ms; what is quicker takes a multiple of it."""

    rounds: int


@dataclass(frozen=True)
class Target:
    """A bound on the ratio to the floor, or on the value itself."""

    bound: float
    of: Literal["ratio", "value"] = "ratio"
    at_least: bool = False

    def is_met_by(self, measured: float) -> bool:
        return measured >= self.bound if self.at_least else measured <= self.bound

    def __str__(self) -> str:
        return f"{'≥' if self.at_least else '≤'} {self.bound:g}{'x' if self.of == 'ratio' else ''}"


@dataclass(frozen=True)
class Figure:
    """``ours`` and ``floor`` in ``unit``; ``against`` says what the floor is. Without a target it only informs."""

    what: str
    ours: float
    unit: str
    floor: float
    against: str
    target: Target | None = None

    @property
    def ratio(self) -> float:
        return self.ours / self.floor

    @property
    def is_met(self) -> bool | None:
        if self.target is None:
            return None
        return self.target.is_met_by(self.ours if self.target.of == "value" else self.ratio)


@dataclass(frozen=True)
class Report:
    """``notes`` are sentences about what could not be measured."""

    figures: Sequence[Figure]
    notes: Sequence[str] = ()


def timed_ms(work: Callable[[], object]) -> float:
    start_ns = time.perf_counter_ns()
    work()
    return (time.perf_counter_ns() - start_ns) / 1e6


async def awaited_ms(work: Callable[[], Awaitable[object]]) -> float:
    start_ns = time.perf_counter_ns()
    await work()
    return (time.perf_counter_ns() - start_ns) / 1e6


def percentile(samples: Sequence[float], percent: float) -> float:
    """The smallest sample that at least ``percent`` of them do not exceed."""
    ordered = sorted(samples)
    return ordered[max(math.ceil(len(ordered) * percent / 100) - 1, 0)]


def figure_of_medians(
    what: str, ours: Sequence[float], floor: Sequence[float], against: str, target: Target | None = None
) -> Figure:
    """A figure of two series of milliseconds."""
    return Figure(what, median(ours), "ms", median(floor), against, target)
