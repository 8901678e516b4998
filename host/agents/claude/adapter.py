"""Claude Code as an agent of this machine (docs/adr/0011)."""

import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from host.agents.claude import command_line, rules
from host.agents.claude.cli_process import CliProcess
from host.agents.claude.command_line import NOTHING_MORE, Allowances
from host.agents.claude.inspection import ClaudeStatus, look_at, read_offer
from host.agents.claude.launcher import Launcher
from host.agents.claude.turn import ClaudeTurn
from host.agents.port import TurnOrder
from host.protocol.messages.agents import AgentCapabilitiesResponse, AgentOptions

# What is installed, signed in or offered changes rarely; a look costs half a second of the machine.
LOOK_AGAIN_S: Final = 300.0
_MAX_ROOTS: Final = 32


@dataclass
class ClaudeAgent:
    """See host.agents.port.Agent. Everything runs below the launcher's runner, whose ``close`` ends it."""

    launcher: Launcher
    allows: Allowances = NOTHING_MORE
    monotonic_s: Callable[[], float] = time.monotonic
    name: str = "claude"
    _offers: dict[Path, tuple[float, AgentCapabilitiesResponse]] = field(default_factory=dict)
    _status: tuple[float, ClaudeStatus] = (0.0, ClaudeStatus())
    _looking: asyncio.Lock = field(default_factory=asyncio.Lock)

    async def capabilities(self, root: Path) -> AgentCapabilitiesResponse:
        async with self._looking:
            known = self._offers.pop(root, None)
            if known is None or not self._is_fresh(known[0]):
                known = (self.monotonic_s(), await read_offer(self.launcher, root))
                if self.allows.bypass_permissions:
                    known[1].permission_modes.append("bypassPermissions")
            self._offers[root] = known
            if len(self._offers) > _MAX_ROOTS:
                del self._offers[next(iter(self._offers))]
            return known[1]

    async def status(self) -> ClaudeStatus:
        """A look at the CLI; one that found it is at most 5 minutes old. Never fails."""
        async with self._looking:
            since_s, status = self._status
            if status.version is None or not self._is_fresh(since_s):
                self._status = (self.monotonic_s(), await look_at(self.launcher))
            return self._status[1]

    def require_supported(self, options: AgentOptions) -> None:
        command_line.require_supported(options, self.allows)

    async def start(self, order: TurnOrder) -> ClaudeTurn:
        async def start(goes_on: bool) -> CliProcess:
            arguments = command_line.turn_arguments(order, goes_on=goes_on, allows=self.allows)
            return CliProcess(await self.launcher.start(order.root, arguments))

        return ClaudeTurn(order, await start(not order.is_first), start)

    def rules_of(self, suggestions: Any) -> Sequence[str]:
        return rules.rules_of(suggestions)

    def _is_fresh(self, since_s: float) -> bool:
        return self.monotonic_s() - since_s < LOOK_AGAIN_S
