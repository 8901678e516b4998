"""The agents' service over a real database, with a real router before it and a scripted agent behind it."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final
from uuid import uuid4

import msgspec

from host.agents.service import AgentService
from host.agents.terminal import TerminalSession
from host.core.requests import RouteTable
from host.db.database import Database
from host.db.event_log import EventLog
from host.db.request_log import RequestLog
from host.events.handlers import EventHandlers
from host.projects.registry import ProjectRegistry
from host.protocol.envelope import Envelope, Sender, decode_envelope
from host.protocol.messages.base import Event, encode_payload
from host.relay.router import RequestRouter
from tests.support.scripted_agent import ScriptedAgent

WAIT_S: Final = 10.0

Message = dict[str, Any]


class Refused(Exception):
    """The request was answered with an error."""

    def __init__(self, error: Message) -> None:
        super().__init__(error["code"])
        self.code: str = error["code"]
        self.error = error


@dataclass
class FakeStore:
    """The agent's own store: what the test puts in. ``prepared`` are the streams that it was asked to bring in."""

    sessions: dict[str, TerminalSession] = field(default_factory=dict)
    prepared: list[str] = field(default_factory=list)

    async def list(self, root: Path) -> Sequence[TerminalSession]:
        return list(self.sessions.values())

    async def find(self, root: Path, agent_session_id: str) -> TerminalSession | None:
        return self.sessions.get(agent_session_id)

    async def prepare(self, stream: str, project_id: str) -> None:
        self.prepared.append(stream)


@dataclass
class AgentRig:
    """``told`` is all that was published, in order, as (wire type, payload)."""

    database: Database
    registry: ProjectRegistry
    agent: ScriptedAgent
    store: FakeStore
    project_id: str = ""
    told: list[tuple[str, Message]] = field(default_factory=list)
    device: str | None = "Ada's phone"
    is_linked: bool = True
    service: AgentService = field(init=False)
    router: RequestRouter = field(init=False)
    _answers: dict[str, "asyncio.Future[Envelope]"] = field(default_factory=dict)
    _news: asyncio.Event = field(default_factory=asyncio.Event)

    def __post_init__(self) -> None:
        self.service = AgentService(self.database, self._publish, self.registry, [self.agent], self.store, self.store)
        self.registry.on_change(self.service.projects_changed)
        table = RouteTable()
        self.service.register(table)
        EventHandlers(EventLog(self.database), self.registry).register(table)
        self.router = RequestRouter(
            table, projects=self.registry, log=RequestLog(self.database), user_id=lambda: "user-1", outbox=self
        )

    async def ask(
        self, wire_type: str, *, request_id: str | None = None, project: str | None = None, **payload: Any
    ) -> Any:
        """Send a request and return the payload of its answer. Raises Refused."""
        name = request_id or str(uuid4())
        answered = self._answers[name] = asyncio.get_running_loop().create_future()
        self.router.accept(
            Envelope(
                wire_type,
                request_id=name,
                session_id=project or self.project_id,
                reply_to="connection-1",
                from_=Sender("connection-1", self.device),
                payload=msgspec.Raw(msgspec.json.encode(payload)),
            )
        )
        async with asyncio.timeout(WAIT_S):
            answer = await answered
        if answer.error is not None:
            raise Refused(msgspec.to_builtins(answer.error))
        return msgspec.json.decode(answer.payload)

    async def begin(self, *lines: str, **payload: Any) -> tuple[str, str]:
        """A new session: its id, and that of its first turn."""
        answer = await self.ask("agent_session_new", content="\n".join(lines), **payload)
        return answer["agentSessionId"], answer["turnId"]

    async def send(self, session: str, *lines: str, **payload: Any) -> Message:
        answer: Message = await self.ask("agent_message", agentSessionId=session, content="\n".join(lines), **payload)
        return answer

    async def answer(self, session: str, prompt_id: str, decision: str = "allow", **payload: Any) -> Message:
        answer: Message = await self.ask(
            "agent_prompt_response", agentSessionId=session, promptId=prompt_id, decision=decision, **payload
        )
        return answer

    async def refusal(self, wire_type: str, **payload: Any) -> Message:
        """The error that the request is answered with."""
        try:
            answer = await self.ask(wire_type, **payload)
        except Refused as refused:
            return refused.error
        raise AssertionError(f"It was not refused, but answered with {answer}.")

    async def code_of(self, wire_type: str, **payload: Any) -> str | None:
        """The code of the error that the request is answered with; None where it succeeds."""
        try:
            await self.ask(wire_type, **payload)
        except Refused as refused:
            return refused.code
        return None

    async def log(self, session: str, *, after: int = 0) -> list[Message]:
        """The payloads of the session's log, whose numbers must be without a gap."""
        page = await self.ask("events_read", stream=f"agent:{session}", afterSeq=after, limit=1000)
        payloads = [event["payload"] for event in page["events"]]
        assert [event["seq"] for event in page["events"]] == [payload["seq"] for payload in payloads]
        assert [payload["seq"] for payload in payloads] == list(range(after + 1, after + 1 + len(payloads)))
        assert [event["type"] for event in page["events"]] == [payload["type"] for payload in payloads]
        return payloads

    async def until(self, is_so: Callable[[], object]) -> None:
        """Wait for something that comes with what is published."""
        async with asyncio.timeout(WAIT_S):
            while not is_so():
                self._news.clear()
                await self._news.wait()

    async def told_of(self, kind: str, **members: Any) -> Message:
        """Wait for the first agent's event of that type with these members."""
        await self.until(lambda: self.events(kind, **members))
        return self.events(kind, **members)[0]

    def events(self, kind: str | None = None, **members: Any) -> list[Message]:
        """The agents' events that were published so far."""
        return [
            payload
            for wire_type, payload in self.told
            if wire_type == "agent_event"
            and kind in (None, payload["type"])
            and all(payload.get(name) == value for name, value in members.items())
        ]

    def attention(self) -> list[Message]:
        return [payload for wire_type, payload in self.told if wire_type == "attention"]

    async def done(self, turn_id: str) -> Message:
        return await self.told_of("done", turnId=turn_id)

    def _publish(self, project_id: str, event: Event) -> bool:
        if self.is_linked:
            self.told.append((event.wire_type, msgspec.json.decode(encode_payload(event))))
            self._news.set()
        return self.is_linked

    # The router's outbox

    def offer(self, frame: bytes) -> bool:
        answer = decode_envelope(frame)
        answered = self._answers.get(answer.request_id or "")
        if answered is not None and not answered.done():
            answered.set_result(answer)
        return True

    async def put(self, frame: bytes, *, keep: bool = False) -> bool:
        return self.offer(frame)


@asynccontextmanager
async def agent_rig(directory: Path, agent: ScriptedAgent | None = None) -> AsyncIterator[AgentRig]:
    """The same directory a second time is the daemon started again. What runs at the end is interrupted."""
    database = await Database.open(directory / "daemon.db")
    registry = await ProjectRegistry.load(database)
    root = directory / "project"
    root.mkdir(exist_ok=True)
    project = await registry.add(root)
    rig = AgentRig(database, registry, agent or ScriptedAgent(), FakeStore(), project.project_id)
    await rig.service.settle()
    serving = asyncio.create_task(rig.service.run())
    try:
        yield rig
    finally:
        await rig.router.cancel()
        await rig.service.close()
        serving.cancel()
        await asyncio.gather(serving, return_exceptions=True)
        await registry.close()
        await database.close()
