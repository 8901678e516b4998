"""A turn that runs: what the agent says is logged and told, until it has ended, one way or another."""

import asyncio
import logging
import sqlite3
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Final

from msgspec import UNSET

from host.agents.deltas import Deltas
from host.agents.fitting import fitted
from host.agents.journal import Journal
from host.agents.port import Agent, PromptAnswer, Turn, TurnOrder
from host.agents.record import TakenTurn, finish, happened
from host.db.errors import DatabaseError
from host.protocol.errors import ErrorCode, ProtocolError, unforeseen
from host.protocol.messages.agent_events import (
    AgentEvent,
    DoneReason,
    PromptAsked,
    PromptResolved,
    TextDelta,
    TurnDone,
    TurnError,
)

logger = logging.getLogger(__name__)

# An agent ends a turn by itself, or by force, in a few seconds.
CANCEL_LIMIT_S: Final = 20.0
RETRY_INTERVAL_S: Final = 5.0


class _NoEnd(Exception):
    """The agent's events ended without a TurnDone."""


@dataclass
class RunningTurn:
    """``go`` once. ``order`` makes the agent's order, and raises a ProtocolError where there can be none."""

    taken: TakenTurn
    agent: Agent
    journal: Journal
    order: Callable[[TakenTurn], Awaitable[TurnOrder]]
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
    monotonic_s: Callable[[], float] = time.monotonic
    # Set while nothing happens unless somebody answers, and when nothing happens any more.
    rests: asyncio.Event = field(default_factory=asyncio.Event)
    # Set once the end is logged.
    ended: asyncio.Event = field(default_factory=asyncio.Event)
    _asked: dict[str, PromptAsked] = field(default_factory=dict)
    _turn: Turn | None = None
    _reason: DoneReason | None = None
    _limit: asyncio.Timeout | None = None

    def __post_init__(self) -> None:
        self._deltas = Deltas(self._tell_delta)

    @property
    def turn_id(self) -> str:
        return self.taken.turn_id

    @property
    def prompt_count(self) -> int:
        """How many answers it waits for."""
        return len(self._asked)

    async def go(self) -> None:
        """Run to the end, which is logged when nothing of the agent is left. Raises nothing but CancelledError."""
        started_s = self.monotonic_s()
        failure: TurnError | None = None
        done: TurnDone | None = None
        try:
            async with asyncio.timeout(0 if self._reason == "interrupted" else None) as self._limit:
                done = await self._drive()
        except ProtocolError as exc:
            failure = TurnError(code=exc.code.value, message=exc.message)
        except Exception as exc:
            if not (isinstance(exc, TimeoutError) and self._reason):
                logger.exception("A turn of an agent failed")
                failure = _explained(exc)
        finally:
            self._limit = None
            self.rests.set()
        if done is None:
            done = _end(self._reason or "failed", round((self.monotonic_s() - started_s) * 1000))
        await self._finish(done, failure)
        self.ended.set()

    def cancel(self) -> None:
        """Somebody does not want it any more. Once it has ended this does nothing."""
        self._stop("cancelled", CANCEL_LIMIT_S)
        if self._turn is not None:
            self._turn.cancel()

    def interrupt(self) -> None:
        """End it at once: the daemon stops."""
        self._stop("interrupted", 0)

    def asked(self, prompt_id: str) -> PromptAsked | None:
        """What waits for an answer."""
        return self._asked.get(prompt_id)

    async def answer(self, prompt_id: str, answer: PromptAnswer) -> None:
        """Pass on the answer that counts."""
        self._resolved(prompt_id)
        if self._turn is not None:
            await self._turn.answer(prompt_id, answer)

    async def _drive(self) -> TurnDone:
        order = await self.order(self.taken)
        async with await self.agent.start(order) as turn:
            self._turn = turn
            if self._reason is not None:
                turn.cancel()
            try:
                return await self._read(turn)
            finally:
                self._deltas.flush()
                self._turn = None

    async def _read(self, turn: Turn) -> TurnDone:
        done: TurnDone | None = None
        async for event in turn:
            if isinstance(event, TurnDone):
                done = event
            else:
                await self._happened(event)
        if done is None:
            raise _NoEnd
        return done

    async def _happened(self, event: AgentEvent) -> None:
        if isinstance(event, TextDelta):
            self._deltas.add(event.text)
            return
        self._deltas.flush()
        if isinstance(event, PromptAsked):
            self._asked[event.prompt_id] = event
            self.rests.set()
        elif isinstance(event, PromptResolved):
            self._resolved(event.prompt_id)
        fitting, session = fitted(event), self.taken.session
        await self.journal.write(
            session, lambda connection, at: happened(connection, session, self.turn_id, fitting, at)
        )

    def _tell_delta(self, text: str) -> bool:
        session = self.taken.session
        delta = TextDelta(
            agent_session_id=session.agent_session_id, turn_id=self.turn_id, at=self.journal.now(), text=text
        )
        return self.journal.publish(session.project_id, delta)

    def _resolved(self, prompt_id: str) -> None:
        self._asked.pop(prompt_id, None)
        if not self._asked:
            self.rests.clear()

    async def _finish(self, done: TurnDone, failure: TurnError | None) -> None:
        """There is exactly one end, and without it the session would stand still: so a full disk is waited for."""

        def step(connection: sqlite3.Connection, at: str) -> Sequence[AgentEvent]:
            return finish(connection, self.taken.session, self.turn_id, fitted(done), failure=failure, at=at)

        while True:
            try:
                return await self.journal.write(self.taken.session, step)
            except DatabaseError as exc:
                logger.error("The end of a turn could not be stored; trying again. %s", exc.message)
                await self.sleep(RETRY_INTERVAL_S)

    def _stop(self, reason: DoneReason, within_s: float) -> None:
        self._reason = self._reason or reason
        # Once its time is up the turn is being left already, which can't be hastened.
        if self._limit is not None and not self._limit.expired():
            at_s = asyncio.get_running_loop().time() + within_s
            known_s = self._limit.when()
            self._limit.reschedule(at_s if known_s is None else min(known_s, at_s))


def _end(reason: DoneReason, duration_ms: int) -> TurnDone:
    return TurnDone(reason=reason, cancelled=True if reason == "cancelled" else UNSET, duration_ms=duration_ms)


def _explained(error: Exception) -> TurnError:
    match error:
        case DatabaseError():
            message = "The host could not write down what the agent did, so the agent was ended. Is its disk full?"
        case _NoEnd():
            message = "The agent ended without a word. Send the message again, or look at the daemon's log."
        case _:
            message = unforeseen().message
    return TurnError(code=ErrorCode.UNKNOWN_ERROR.value, message=message)
