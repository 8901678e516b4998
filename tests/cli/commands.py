"""Running ``pocketcoder`` and looking at how it ended."""

import json
import subprocess
from subprocess import CompletedProcess
from typing import Any, Final

from tests.support.processes import BIN, COMMAND_TIMEOUT_S, MachineProcess, environment

DONE: Final = 0
FAILED: Final = 1
USED_WRONGLY: Final = 2
NOT_RUNNING: Final = 3
NOT_SIGNED_IN: Final = 4


def told(done: "CompletedProcess[str]", code: int) -> str:
    """What a command that ended with ``code`` said on stderr, in sentences and without a traceback."""
    assert done.returncode == code, (done.returncode, done.stdout, done.stderr)
    assert "Traceback" not in done.stderr
    return done.stderr


def projects(machine: MachineProcess) -> list[dict[str, Any]]:
    listed: list[dict[str, Any]] = json.loads(machine.succeed("projects", "--json"))["projects"]
    return listed


def variables_of(machine: MachineProcess, **variables: str) -> dict[str, str]:
    """The environment of a machine's commands; ``variables`` win."""
    ours = {"POCKETCODER_HOME": str(machine.home), "POCKETCODER_CONTROL_PORT": str(machine.control_port)}
    return environment(machine.directory, **{**ours, **variables})


def run_with(machine: MachineProcess, command: str, **variables: str) -> "CompletedProcess[str]":
    """Run a command to its end in an environment of its own."""
    return subprocess.run(
        [BIN / "pocketcoder", command],
        env=variables_of(machine, **variables),
        capture_output=True,
        text=True,
        timeout=COMMAND_TIMEOUT_S,
        check=False,
    )
