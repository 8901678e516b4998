"""What a check finds, and what it is given to look at."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib.metadata import version
from typing import Any, Literal

from host.control_plane.client import ControlClient
from host.core.errors import ForPeople
from host.core.home import HostPaths
from host.core.settings import Settings

State = Literal["ok", "warning", "broken", "unknown"]


@dataclass(frozen=True)
class Finding:
    """``message`` says what is; ``mend``, where something is wrong, what to do: a command where there is one.

    ``unknown``: it could not be looked at because of something else, which has a finding of its own.
    """

    state: State
    message: str
    mend: str = ""


@dataclass
class Patient:
    """The machine and its PocketCoder. ``relay_url`` is the one that the daemon uses or would use."""

    paths: HostPaths
    settings: Settings
    environ: Mapping[str, str]
    relay_url: str
    _is_silent: bool = False

    def control(self) -> ControlClient:
        return ControlClient(self.paths, self.settings.control_port)

    def status(self) -> dict[str, Any] | None:
        """What the daemon says of itself; None when it does not run, is of another version, or was silent for 5 s."""
        if self._is_silent:
            return None
        try:
            answer = self.control().request("GET", "/status", timeout_s=5)
        except (ForPeople, OSError):
            self._is_silent = True
            return None
        status: dict[str, Any] = json.loads(answer.body)
        return status if answer.status == 200 and status["version"] == version("pocketcoder") else None


Check = Callable[[Patient], Finding]


def ok(message: str) -> Finding:
    return Finding("ok", message)
