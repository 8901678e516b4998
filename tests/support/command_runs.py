"""What tests of runs share: text that a run wrote, an end, and a clock that stands still."""

from dataclasses import dataclass
from typing import Final, Literal

from host.db.command_runs import RunEnd

EXITED: Final = RunEnd("exited", exit_code=0, signal=None, duration_ms=1200)


@dataclass(frozen=True)
class Chunk:
    text: str
    channel: Literal["stdout", "stderr"] = "stdout"


class FakeClock:
    def __init__(self) -> None:
        self.now_s = 1_760_000_000.0

    def __call__(self) -> float:
        return self.now_s
