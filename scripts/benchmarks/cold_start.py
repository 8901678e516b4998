"""What a command of the CLI takes from its start to its end, with a daemon running."""

import subprocess
import sys
from typing import Final

from scripts.benchmarks.measure import Effort, Report, Samples, Target, figure_of_medians, timed_ms
from scripts.benchmarks.processes import BIN, Command
from scripts.benchmarks.sandbox import sandbox

_LEAN: Final = Target(4)
_OTHERS: Final = Target(15)
_COMMANDS: Final = {"status": _LEAN, "projects": _OTHERS, "--help": _OTHERS}


async def measure(effort: Effort) -> Report:
    nothing: Command = [sys.executable, "-c", "pass"]
    samples: dict[str, Samples] = {argument: [] for argument in _COMMANDS}
    floor: Samples = []
    with sandbox(projects=1) as place:

        def run(command: Command) -> float:
            return timed_ms(
                lambda: subprocess.run(command, env=place.environment, stdout=subprocess.DEVNULL, check=True)
            )

        for number in range(effort.rounds + 1):
            floor_ms = run(nothing)
            measured = {argument: run([BIN / "pocketcoder", argument]) for argument in _COMMANDS}
            # The first round compiles what is not yet compiled.
            if number:
                floor.append(floor_ms)
                for argument, value_ms in measured.items():
                    samples[argument].append(value_ms)
    return Report(
        [
            figure_of_medians(f"pocketcoder {argument}", samples[argument], floor, "python -c pass", target)
            for argument, target in _COMMANDS.items()
        ]
    )
