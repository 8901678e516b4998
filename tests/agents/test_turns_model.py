"""Queues, ends and numbers of several sessions against a model that a reader can take in at once."""

import asyncio
import tempfile
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, precondition, rule

from tests.agents.agent_rig import WAIT_S, AgentRig, Message, agent_rig

pytestmark = pytest.mark.slow

# A turn that ends at once, one that waits for an answer, and one that waits to be cancelled.
scripts = st.sampled_from(["say hello", "ask Bash", "hold"])
MAX_SESSIONS = 4


@dataclass
class Model:
    """A session: all that was accepted, what has ended and how, and what waits or runs, in order."""

    scripts: dict[str, str] = field(default_factory=dict)
    ended: dict[str, str] = field(default_factory=dict)
    queue: list[str] = field(default_factory=list)

    def accept(self, turn: str, script: str) -> None:
        self.scripts[turn] = script
        self.queue.append(turn)
        self.go_on()

    def end(self, turn: str, reason: str) -> None:
        self.queue.remove(turn)
        self.ended[turn] = reason

    def go_on(self) -> None:
        while self.queue and self.scripts[self.queue[0]].startswith("say"):
            self.end(self.queue[0], "completed")

    @property
    def asks(self) -> bool:
        return bool(self.queue) and self.scripts[self.queue[0]].startswith("ask")


class TurnsMachine(RuleBasedStateMachine):
    sessions = Bundle("sessions")

    def __init__(self) -> None:
        super().__init__()
        self.models: dict[str, Model] = {}
        self.runner = asyncio.Runner()
        self.directory = tempfile.TemporaryDirectory()
        self.started: list[str] = []
        self.open()

    def open(self) -> None:
        self.stack = AsyncExitStack()
        self.rig: AgentRig = self.runner.run(self.stack.enter_async_context(agent_rig(Path(self.directory.name))))

    def close(self) -> None:
        self.runner.run(self.stack.aclose())
        self.started += [order.turn_id for order in self.rig.agent.orders]

    def teardown(self) -> None:
        self.close()
        self.runner.close()
        self.directory.cleanup()
        assert len(self.started) == len(set(self.started))

    @precondition(lambda self: len(self.models) < MAX_SESSIONS)
    @rule(target=sessions, script=scripts)
    def begin(self, script: str) -> str:
        session, turn = self.runner.run(self.rig.begin(script))
        self.models[session] = Model()
        self.models[session].accept(turn, script)
        self.check(session)
        return session

    @rule(session=sessions, script=scripts)
    def send(self, session: str, script: str) -> None:
        model = self.models[session]
        answer = self.runner.run(self.rig.send(session, script))
        assert (answer["position"], answer["queued"]) == (len(model.queue), bool(model.queue))
        model.accept(answer["turnId"], script)
        self.check(session)

    @rule(session=sessions)
    def cancel_all(self, session: str) -> None:
        self.runner.run(self.rig.ask("agent_cancel", agentSessionId=session))
        model = self.models[session]
        for turn in tuple(model.queue):
            model.end(turn, "cancelled")
        self.check(session)

    @rule(session=sessions, place=st.integers(0, 5))
    def cancel_one(self, session: str, place: int) -> None:
        model = self.models[session]
        turns = list(model.scripts)
        turn = turns[place % len(turns)]
        self.runner.run(self.rig.ask("agent_cancel", agentSessionId=session, turnId=turn))
        if turn in model.queue:
            model.end(turn, "cancelled")
            model.go_on()
        self.check(session)

    @rule(session=sessions, decision=st.sampled_from(["allow", "deny", "allow_always"]))
    def answer(self, session: str, decision: str) -> None:
        model = self.models[session]
        if not model.asks:
            return
        prompt = [event for event in self.log(session) if event["type"] == "prompt"][-1]["promptId"]
        assert self.runner.run(self.rig.answer(session, prompt, decision))["applied"] is True
        assert self.runner.run(self.rig.answer(session, prompt, "deny"))["decision"] == decision
        model.end(model.queue[0], "completed")
        model.go_on()
        self.check(session)

    @rule()
    def restart(self) -> None:
        self.close()
        self.open()
        for session, model in self.models.items():
            if model.queue:
                model.end(model.queue[0], "interrupted")
                model.go_on()
            self.check(session)

    def log(self, session: str) -> list[Message]:
        """Without a gap: the rig looks."""
        return self.runner.run(self.rig.log(session))

    def check(self, session: str) -> None:
        """Soon the log says what the model says."""
        self.runner.run(self.settled(session))
        model, log = self.models[session], self.log(session)
        assert [event["turnId"] for event in log if event["type"] == "user"] == list(model.scripts)
        assert [event["turnId"] for event in log if event["type"] == "done"] == sorted(
            model.ended, key=[event["turnId"] for event in log if event["type"] == "done"].index
        )
        assert {event["turnId"]: event["reason"] for event in log if event["type"] == "done"} == model.ended
        begun = [event["turnId"] for event in log if event["type"] == "init"]
        assert begun == [turn for turn in model.scripts if turn in begun]
        prompts = [event["promptId"] for event in log if event["type"] == "prompt"]
        resolved = [event["promptId"] for event in log if event["type"] == "prompt_resolved"]
        assert resolved == (prompts[:-1] if model.asks else prompts)

    async def settled(self, session: str) -> None:
        model = self.models[session]
        async with asyncio.timeout(WAIT_S):
            while True:
                log = await self.rig.log(session)
                begun = {event["turnId"] for event in log if event["type"] == ("prompt" if model.asks else "init")}
                ended = sum(event["type"] == "done" for event in log)
                if ended >= len(model.ended) and (not model.queue or model.queue[0] in begun):
                    return


TestTurns = TurnsMachine.TestCase
TestTurns.settings = settings(max_examples=20, stateful_step_count=20)
