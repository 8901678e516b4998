"""An agent that does what the text of a message says, a line a step.

=============  ==========================================================================================
say TEXT       a text
delta TEXT     a piece of a text
big N          a text of N characters
ask NAME …     a permission for each name, all at once; goes on when all are answered, and says the decisions
question TEXT  a question; goes on when it is answered, and says the decision
plan           a plan that wants to be approved
withdraw NAME  a permission that is asked and withdrawn
wait NAME      goes on when ``agent.gate(NAME)`` is set
hold           goes on when it is cancelled
deaf           from now on does not hear that it is cancelled
cling NAME     when it is left, sets ``agent.gate("left")`` and stays until ``agent.gate(NAME)`` is set
fail           fails, and says why
vanish         ends without an end
crash          raises something that nobody foresaw
=============  ==========================================================================================
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from msgspec import UNSET

from host.agents.claude.inspection import ClaudeStatus
from host.agents.port import PromptAnswer, TurnOrder
from host.protocol.errors import AgentUnavailable, Unsupported
from host.protocol.messages.agent_events import (
    AgentEvent,
    PromptAsked,
    PromptResolved,
    Text,
    TextDelta,
    TurnBegan,
    TurnDone,
    TurnError,
)
from host.protocol.messages.agents import AgentCapabilitiesResponse, AgentOptions


class ScriptedTurn:
    """See host.agents.port.Turn."""

    def __init__(self, order: TurnOrder, gate: Callable[[str], asyncio.Event]) -> None:
        self._order = order
        self._gate = gate
        self._cancelled = asyncio.Event()
        self._is_deaf = False
        self._clings_to: str | None = None
        self._asked: dict[str, tuple[str, asyncio.Future[PromptAnswer]]] = {}
        self._asked_before = 0
        self.answers: list[tuple[str, PromptAnswer]] = []
        self.is_left = False

    async def __aiter__(self) -> AsyncIterator[AgentEvent]:
        text = self._order.content
        assert isinstance(text, str)
        mode = self._order.options.permission_mode or "default"
        yield TurnBegan(model="scripted", tools=[], permission_mode=mode, cwd=str(self._order.root))
        for line in text.splitlines():
            if self._is_cancelled:
                break
            word, _, rest = line.partition(" ")
            if word == "vanish":
                return
            async for event in self._step(word, rest):
                yield event
                if isinstance(event, TurnDone):
                    return
        yield self._end("cancelled" if self._is_cancelled else "completed")

    @property
    def _is_cancelled(self) -> bool:
        return self._cancelled.is_set() and not self._is_deaf

    async def _step(self, word: str, rest: str) -> AsyncIterator[AgentEvent]:
        match word:
            case "ask":
                async for event in self._asking([self._ask(name, "permission") for name in rest.split()]):
                    yield event
            case "question" | "plan":
                async for event in self._asking([self._ask(rest or word, word)]):
                    yield event
            case "wait":
                await self._unless_cancelled(self._gate(rest).wait())
            case "hold":
                await self._unless_cancelled(asyncio.Event().wait())
            case "deaf" | "cling":
                self._turn_odd(word, rest)
            case "crash":
                raise RuntimeError("The script says so.")
            case _:
                for event in self._said(word, rest):
                    yield event

    def _turn_odd(self, word: str, rest: str) -> None:
        if word == "deaf":
            self._is_deaf = True
        else:
            self._clings_to = rest

    def _said(self, word: str, rest: str) -> list[AgentEvent]:
        match word:
            case "delta":
                return [TextDelta(text=rest)]
            case "big":
                return [Text(text="x" * int(rest))]
            case "withdraw":
                prompt = self._ask(rest, "permission")
                del self._asked[prompt.prompt_id]
                return [prompt, PromptResolved(prompt_id=prompt.prompt_id, decision="withdrawn")]
            case "fail":
                return [TurnError(code="UNKNOWN_ERROR", message="The script says so."), self._end("failed")]
            case "say":
                return [Text(text=rest)]
        raise ValueError(f"The script says {word}, which is no step.")

    def _ask(self, tool: str, kind: Any) -> PromptAsked:
        self._asked_before += 1
        prompt_id = f"{self._order.turn_id}/{self._asked_before}"
        self._asked[prompt_id] = (tool, asyncio.get_running_loop().create_future())
        if kind == "question":
            return PromptAsked(prompt_id=prompt_id, kind="question", tool=tool, questions=[{"question": tool}])
        if kind == "plan":
            return PromptAsked(prompt_id=prompt_id, kind="plan", tool=tool, plan="# Plan")
        return PromptAsked(
            prompt_id=prompt_id, kind="permission", tool=tool, input={"of": tool}, suggestions=[f"{tool}(always)"]
        )

    async def _asking(self, asked: Sequence[PromptAsked]) -> AsyncIterator[AgentEvent]:
        for prompt in asked:
            yield prompt
        for prompt in asked:
            tool, answered = self._asked[prompt.prompt_id]
            await self._unless_cancelled(asyncio.shield(answered))
            if not answered.done():
                return
            yield Text(text=f"{tool}: {answered.result().decision}")

    async def _unless_cancelled(self, what: Awaitable[object]) -> None:
        waiting = [asyncio.ensure_future(what)]
        if not self._is_deaf:
            waiting.append(asyncio.ensure_future(self._cancelled.wait()))
        try:
            await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in waiting:
                task.cancel()

    def _end(self, reason: Any) -> TurnDone:
        return TurnDone(reason=reason, cancelled=True if reason == "cancelled" else UNSET, duration_ms=1)

    async def answer(self, prompt_id: str, answer: PromptAnswer) -> None:
        self.answers.append((prompt_id, answer))
        _, answered = self._asked.get(prompt_id, ("", None))
        if answered is not None and not answered.done():
            answered.set_result(answer)

    def cancel(self) -> None:
        self._cancelled.set()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._clings_to is not None:
            self._gate("left").set()
            await self._gate(self._clings_to).wait()
        self.is_left = True


@dataclass
class ScriptedAgent:
    """See host.agents.port.Agent. ``turns`` are those that were started; their ids are also added to ``diary``."""

    name: str = "claude"
    diary: Path | None = None
    is_unavailable: bool = False
    orders: list[TurnOrder] = field(default_factory=list)
    turns: list[ScriptedTurn] = field(default_factory=list)
    _gates: dict[str, asyncio.Event] = field(default_factory=dict)

    def gate(self, name: str) -> asyncio.Event:
        return self._gates.setdefault(name, asyncio.Event())

    async def capabilities(self, root: Path) -> AgentCapabilitiesResponse:
        self._require_available()
        return AgentCapabilitiesResponse(
            agent=self.name, version="1.0", commands=[], models=[], permission_modes=["default", "plan"]
        )

    async def status(self) -> ClaudeStatus:
        """For the daemon's status, beyond the port."""
        return ClaudeStatus(version="1.0", is_signed_in=True)

    def require_supported(self, options: AgentOptions) -> None:
        if options.permission_mode == "bypassPermissions":
            raise Unsupported("This host does not allow it.")

    async def start(self, order: TurnOrder) -> ScriptedTurn:
        self._require_available()
        self.orders.append(order)
        if self.diary is not None:
            with self.diary.open("a") as file:
                file.write(f"{order.turn_id}\n")
        turn = ScriptedTurn(order, self.gate)
        self.turns.append(turn)
        return turn

    def rules_of(self, suggestions: Any) -> Sequence[str]:
        return [] if suggestions is UNSET else list(suggestions)

    def _require_available(self) -> None:
        if self.is_unavailable:
            raise AgentUnavailable("It is not installed. Install it.")
