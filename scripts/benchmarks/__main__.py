"""``./scripts/bench``: measure, and print a table or JSON. See docs/performance.md."""

import argparse
import asyncio
import json
import resource
import sys
from collections.abc import Callable, Coroutine, Sequence
from typing import Any, Final

import uvloop

from scripts.benchmarks import agent, cold_start, commands, files, git, link, memory, watching, writing
from scripts.benchmarks.measure import Effort, Figure, Report
from scripts.benchmarks.processes import BenchmarkFailed

_SUBJECTS: Final[dict[str, Callable[[Effort], Coroutine[Any, Any, Report]]]] = {
    "link": link.measure,
    "files": files.measure,
    "writing": writing.measure,
    "commands": commands.measure,
    "agent": agent.measure,
    "git": git.measure,
    "watching": watching.measure,
    "start": cold_start.measure,
    "memory": memory.measure,
}
_FULL: Final = Effort(rounds=40)
_QUICK: Final = Effort(rounds=5)
# Of one subject.
_LIMIT_S: Final = 120.0
_MIN_OPEN_FILES: Final = 4096


def main() -> int:
    parser = argparse.ArgumentParser(prog="./scripts/bench", description="How fast it is, as ratios to floors.")
    parser.add_argument("--only", choices=_SUBJECTS, help="one subject")
    parser.add_argument("--quick", action="store_true", help="fewer rounds: about a minute, and less exact")
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    if sys.platform != "linux":
        print("The benchmarks read /proc, so they run on Linux only.", file=sys.stderr)
        return 1
    _allow_many_sockets()
    reports: list[Report] = []
    try:
        for name in [arguments.only] if arguments.only else _SUBJECTS:
            print(f"Measuring {name} …", file=sys.stderr)
            work = _SUBJECTS[name](_QUICK if arguments.quick else _FULL)
            reports.append(uvloop.run(asyncio.wait_for(work, _LIMIT_S)))
    except (BenchmarkFailed, TimeoutError) as exc:
        print(f"The benchmark failed. {exc}", file=sys.stderr)
        return 1
    figures = [figure for report in reports for figure in report.figures]
    notes = [note for report in reports for note in report.notes]
    print(_json(figures, notes) if arguments.json else _table(figures, notes))
    return 0


def _json(figures: Sequence[Figure], notes: Sequence[str]) -> str:
    rows = [
        {
            "what": figure.what.strip(),
            "ours": figure.ours,
            "floor": figure.floor,
            "unit": figure.unit,
            "against": figure.against,
            "ratio": figure.ratio,
            "target": str(figure.target) if figure.target else None,
            "isMet": figure.is_met,
        }
        for figure in figures
    ]
    return json.dumps({"figures": rows, "notes": notes}, indent=2, ensure_ascii=False)


def _table(figures: Sequence[Figure], notes: Sequence[str]) -> str:
    rows = [("what", "measured", "floor", "ratio", "target", "", "the floor is"), *(_row(figure) for figure in figures)]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    return "\n".join([*lines, *notes])


def _row(figure: Figure) -> tuple[str, ...]:
    return (
        figure.what,
        f"{_number(figure.ours)} {figure.unit}",
        _number(figure.floor),
        f"{figure.ratio:.2f}x",
        str(figure.target or ""),
        {True: "met", False: "MISSED", None: ""}[figure.is_met],
        figure.against,
    )


def _number(value: float) -> str:
    return f"{value:,.0f}" if value >= 1000 else f"{value:.3g}"


def _allow_many_sockets() -> None:
    """For this process and those it starts."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < _MIN_OPEN_FILES:
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(_MIN_OPEN_FILES, hard), hard))


if __name__ == "__main__":
    sys.exit(main())
