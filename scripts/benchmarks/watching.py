"""Watching a large project: until it is ready, what it takes while nothing happens, and how soon it tells."""

import asyncio
import json
import os
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from shutil import which
from statistics import median
from typing import Final

from scripts.benchmarks.measure import Effort, Figure, Report, Samples, Target, figure_of_medians, timed_ms
from scripts.benchmarks.processes import BenchmarkFailed, Command, module, next_line, resident_kib, running

_FILES_A_DIRECTORY: Final = 10
_IGNORED: Final = "node_modules"
_SWITCHED: Final = "switched"
_IDLE_S: Final = 2.0
_SETTLE_TIMEOUT_S: Final = 20.0
_NPM_TIMEOUT_S: Final = 60.0
_CHOKIDAR: Final = "chokidar@4"
_CHOKIDAR_PROBE: Final = Path(__file__).with_name("chokidar_probe.cjs")


@dataclass(frozen=True)
class Sizes:
    """Directories, each with 10 files: of the project, ignored ones, and those that a branch switch changes."""

    watched: int
    ignored: int
    switched: int


_FULL: Final = Sizes(watched=9_000, ignored=5_000, switched=1_000)
_QUICK: Final = Sizes(watched=900, ignored=500, switched=100)


@dataclass(frozen=True)
class Measured:
    """Of one watching program, the event loop apart."""

    ready_ms: float
    resident_mb: float
    watches: int
    wakeups: float
    latency_ms: float
    settle_ms: float


async def measure(effort: Effort) -> Report:
    return await asyncio.to_thread(_measure, _FULL if effort.rounds > 10 else _QUICK)


def _measure(sizes: Sizes) -> Report:
    with tempfile.TemporaryDirectory(prefix="pocketcoder-watching-") as directory:
        root = Path(directory) / "project"
        _make_project(root, sizes)
        ready, delays, walks = _ready(root)
        ours = _measured(module("scripts.benchmarks.watching_probe", str(root)), root, sizes)
        directories = sizes.watched + sizes.switched
        figures = [
            figure_of_medians(f"watching {directories * 10:,} files: ready", ready, walks, "bare walk", Target(2.5)),
            Figure("  the event loop's worst delay", max(delays), "ms", 1.0, "1 ms", Target(20, of="value")),
            Figure("  watches", ours.watches, "", directories + 1, "directories not ignored", Target(1.02)),
            Figure("  wake-ups while idle", ours.wakeups, "a second", 1.0, "one a second", Target(0, of="value")),
            Figure("  one change is told, p50", ours.latency_ms, "ms", 1.0, "1 ms", Target(5, of="value")),
            Figure("  a branch switch is told", ours.settle_ms, "ms", 1.0, "1 ms after it ended"),
        ]
        with _chokidar(Path(directory)) as chokidar:
            if isinstance(chokidar, str):
                return Report(figures, [chokidar])
            return Report([*figures, *_beside(ours, ready, _measured([*chokidar, root], root, sizes))])


def _beside(ours: Measured, ready: Samples, theirs: Measured) -> list[Figure]:
    against = _CHOKIDAR
    return [
        Figure("  ready, beside chokidar", median(ready), "ms", theirs.ready_ms, against, Target(0.1)),
        Figure("  memory", ours.resident_mb, "MB", theirs.resident_mb, against, Target(0.1)),
        Figure("  watches", ours.watches, "", theirs.watches, against),
        Figure("  one change is told, p50", ours.latency_ms, "ms", theirs.latency_ms, against),
        Figure("  a branch switch is told", ours.settle_ms, "ms", theirs.settle_ms, against),
    ]


def _make_project(root: Path, sizes: Sizes) -> None:
    for top, directories in (("src", sizes.watched), (_IGNORED, sizes.ignored), (_SWITCHED, sizes.switched)):
        _fill(root / top, directories)
    (root / ".gitignore").write_text(f"{_IGNORED}\n*.log\n*.pyc\n.env\n/out/\ncoverage/\n")
    _git(root, "init", "-q", "-b", "main")
    for branch in ("main", "other"):
        for file in (root / _SWITCHED).rglob("*.ts"):
            file.write_text(f"on {branch}")
        _git(root, "checkout", "-q", "-B", branch)
        _git(root, "add", _SWITCHED)
        _git(root, "-c", "user.name=bench", "-c", "user.email=bench@example.org", "commit", "-q", "-m", branch)


def _fill(top: Path, directories: int) -> None:
    """``top`` is one of them; ten in each."""
    top.mkdir(parents=True)
    made = [top]
    for number in range(directories):
        directory = made[number]
        for name in range(_FILES_A_DIRECTORY):
            (directory / f"file-{name}.ts").touch()
        for name in range(min(10, directories - len(made))):
            made.append(directory / f"directory-{name}")
            made[-1].mkdir()


def _git(root: Path, *arguments: str) -> None:
    subprocess.run(["git", *arguments], cwd=root, check=True, capture_output=True)


def _ready(root: Path) -> tuple[Samples, Samples, Samples]:
    """Milliseconds: until ready, the event loop's worst delay meanwhile, and a bare walk."""
    ready: Samples = []
    delays: Samples = []
    walks: Samples = []
    for _ in range(5):
        walks.append(timed_ms(lambda: _walk(root)))
        with running(module("scripts.benchmarks.watching_probe", str(root))) as probe:
            ready.append(json.loads(next_line(probe))["readyMs"])
        with running(module("scripts.benchmarks.watching_probe", str(root), "ticking")) as probe:
            delays.append(json.loads(next_line(probe))["delayMs"])
    return ready, delays, walks


def _walk(root: Path) -> None:
    waiting = [str(root)]
    while waiting:
        with os.scandir(waiting.pop()) as entries:
            waiting.extend(
                entry.path for entry in entries if entry.is_dir(follow_symlinks=False) and entry.name != _IGNORED
            )


def _measured(command: Command, root: Path, sizes: Sizes) -> Measured:
    with running(command) as probe:
        ready_ms = json.loads(next_line(probe))["readyMs"]
        # What a start leaves behind: once more the root is looked at, and a young heap is tidied.
        time.sleep(_IDLE_S)
        before = _switches(probe.pid)
        time.sleep(_IDLE_S)
        wakeups = (_switches(probe.pid) - before) / _IDLE_S
        resident_mb = resident_kib(probe.pid) / 1024
        watches = _watches(probe.pid)
        latency_ms = _asked(probe, "latency")["p50Ms"]
        return Measured(ready_ms, resident_mb, watches, wakeups, latency_ms, _settle_ms(probe, root, sizes))


def _settle_ms(probe: "subprocess.Popen[bytes]", root: Path, sizes: Sizes) -> float:
    """From the end of a branch switch until the last of its changes is told. Raises BenchmarkFailed if not all are."""
    wanted = _asked(probe, "count")["paths"] + sizes.switched * _FILES_A_DIRECTORY
    current = subprocess.run(["git", "branch", "--show-current"], cwd=root, check=True, capture_output=True, text=True)
    _git(root, "checkout", "-q", "main" if current.stdout.strip() == "other" else "other")
    ended_s = time.monotonic()
    while (told := _asked(probe, "count"))["paths"] < wanted and told["losses"] < 2:
        if time.monotonic() > ended_s + _SETTLE_TIMEOUT_S:
            raise BenchmarkFailed(f"Of a branch switch {wanted - told['paths']:.0f} changes were not told.")
        time.sleep(0.01)
    return max(told["lastS"] - ended_s, 0.0) * 1000


def _asked(probe: "subprocess.Popen[bytes]", question: str) -> dict[str, float]:
    assert probe.stdin is not None
    probe.stdin.write(f"{question}\n".encode())
    answer: dict[str, float] = json.loads(next_line(probe))
    return answer


def _switches(process_id: int) -> int:
    """How often the process's threads woke up."""
    statuses = [task / "status" for task in Path(f"/proc/{process_id}/task").iterdir()]
    lines = [line for status in statuses for line in status.read_text().splitlines()]
    return sum(int(line.split()[1]) for line in lines if line.startswith("voluntary_ctxt_switches"))


def _watches(process_id: int) -> int:
    infos = Path(f"/proc/{process_id}/fdinfo").iterdir()
    return sum(info.read_text().count("inotify wd:") for info in infos)


@contextmanager
def _chokidar(directory: Path) -> Iterator[Command | str]:
    """How to run its probe; or a sentence why it can't be."""
    if which("node") is None or which("npm") is None:
        yield "chokidar was not measured: node and npm are not installed."
        return
    install: Command = ["npm", "install", "--silent", "--no-audit", "--no-fund", _CHOKIDAR]
    try:
        subprocess.run(install, cwd=directory, check=True, capture_output=True, timeout=_NPM_TIMEOUT_S)
    except (subprocess.SubprocessError, OSError):
        yield f"chokidar was not measured: npm could not install {_CHOKIDAR}."
        return
    yield ["node", _CHOKIDAR_PROBE, directory / "node_modules" / "chokidar"]
