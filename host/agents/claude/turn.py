"""One turn: a process of the CLI, from its start until nothing of it is left."""

import asyncio
import logging
import time
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from types import TracebackType
from typing import Final, Self

from host.agents.claude.cli_process import CliProcess
from host.agents.claude.control import answer_line, interrupt_line, refusal_line, user_line
from host.agents.claude.ending import Ending
from host.agents.claude.mapping import EventMapping
from host.agents.claude.outcome import Outcome
from host.agents.claude.prompts import decision_on, prompt_of
from host.agents.claude.stream_json import ControlCancelled, ControlRequest, Line, ToolQuestion
from host.agents.port import PromptAnswer, TurnOrder
from host.protocol.errors import ProtocolError
from host.protocol.messages.agent_events import AgentEvent, PromptResolved
from host.protocol.messages.agents import Resolution

logger = logging.getLogger(__name__)

# How long the CLI has to stop by its own means, and to end once its input is closed. Background tasks of its own
# have 5 s of the latter.
INTERRUPT_S: Final = 3.0
CLOSING_S: Final = 10.0

# Starts the CLI: to go on with the session, or to make it. Raises AgentUnavailable and ProjectRootGone.
Start = Callable[[bool], Awaitable[CliProcess]]


class ClaudeTurn:
    """See host.agents.port.Turn. ``process`` is what ``start`` started; ``start`` may be needed once more.

    A session that is to be made may be there already, if the daemon was killed in its first turn. The CLI says so
    before it does anything, and is then told to go on with it.
    """

    def __init__(
        self, order: TurnOrder, process: CliProcess, start: Start, *, monotonic_s: Callable[[], float] = time.monotonic
    ) -> None:
        self._order = order
        self._process = process
        self._start = start
        self._monotonic_s = monotonic_s
        self._began_s = monotonic_s()
        self._mapping = EventMapping(order.root)
        self._ending = Ending()
        self._outcome = Outcome()
        self._prompts: dict[str, ToolQuestion] = {}
        self._is_cancelled = False
        self._is_closed = False
        self._next: asyncio.TimerHandle | None = None
        self._force: asyncio.TimerHandle | None = None

    async def __aiter__(self) -> AsyncIterator[AgentEvent]:
        async for event in self._talk():
            yield event
        if self._must_go_on and await self._start_again():
            async for event in self._talk():
                yield event
        ended = await self._process.end()
        for prompt_id in tuple(self._prompts):
            yield self._forget(prompt_id, "interrupted")
        duration_ms = round((self._monotonic_s() - self._began_s) * 1000)
        for event in self._outcome.events(
            ended, self._process.stderr, is_cancelled=self._is_cancelled, duration_ms=duration_ms
        ):
            yield event

    async def answer(self, prompt_id: str, answer: PromptAnswer) -> None:
        question = self._prompts.pop(prompt_id, None)
        if question is not None:
            self._process.say(answer_line(prompt_id, decision_on(question, answer)))

    def cancel(self) -> None:
        if self._is_cancelled:
            return
        self._is_cancelled = True
        self._process.say(interrupt_line(str(uuid.uuid4())))
        self._force = asyncio.get_running_loop().call_later(INTERRUPT_S, self._terminate)
        self._wait_on()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for timer in (self._next, self._force):
            if timer is not None:
                timer.cancel()
        await self._process.__aexit__(kind, error, trace)

    async def _start_again(self) -> bool:
        await self._process.end()
        try:
            self._process = await self._start(True)
        except ProtocolError as exc:
            logger.warning("Claude Code could not be started a second time. %s", exc)
            return False
        return True

    async def _talk(self) -> AsyncIterator[AgentEvent]:
        if self._is_cancelled:
            # Before it was told anything.
            self._terminate()
        else:
            self._process.say(user_line(self._order.content, turn_id=self._order.turn_id))
        async for lines in self._process.lines():
            for line in lines:
                self._ending.observe(line)
                self._outcome.observe(line)
                for event in self._events_of(line):
                    yield event
            self._wait_on()

    def _events_of(self, line: Line) -> Iterator[AgentEvent]:
        match line:
            case ControlRequest():
                yield from self._ask(line)
            case ControlCancelled():
                if line.request_id in self._prompts:
                    yield self._forget(line.request_id, "withdrawn")
            case _:
                yield from self._mapping.events(line)

    def _ask(self, line: ControlRequest) -> Iterator[AgentEvent]:
        if line.request.subtype == "can_use_tool":
            self._prompts[line.request_id] = line.request
            yield prompt_of(line.request_id, line.request)
        else:
            self._process.say(refusal_line(line.request_id))

    def _forget(self, prompt_id: str, resolution: Resolution) -> PromptResolved:
        del self._prompts[prompt_id]
        return PromptResolved(prompt_id=prompt_id, decision=resolution)

    def _wait_on(self) -> None:
        """Choose what happens if the CLI says nothing more for a while."""
        if self._next is not None:
            self._next.cancel()
        patience_s = self._patience_s
        if patience_s is None:
            return
        if self._is_closed:
            self._next = asyncio.get_running_loop().call_later(CLOSING_S, self._terminate)
        elif patience_s == 0:
            self._close()
        else:
            self._next = asyncio.get_running_loop().call_later(patience_s, self._close)

    @property
    def _patience_s(self) -> float | None:
        if self._is_cancelled:
            return 0 if self._ending.has_stopped else None
        return None if self._prompts else self._ending.patience_s

    def _close(self) -> None:
        self._is_closed = True
        self._process.close_input()
        self._wait_on()

    def _terminate(self) -> None:
        self._process.terminate()

    @property
    def _must_go_on(self) -> bool:
        return self._order.is_first and not self._is_cancelled and self._outcome.is_taken(self._process.stderr)
