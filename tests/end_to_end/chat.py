"""A phone that talks to the agent of one project."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import pytest

from relay_stub.client import Message, RelayClient, RequestFailed
from tests.end_to_end.served import Served
from tests.support.claude_cli import claude_executable, claude_variables
from tests.support.processes import Bench, free_port

TIMEOUT_S: Final = 30.0

Payload = dict[str, Any]


class AgentServed(Served):
    """A project whose machine has the real CLI, which asks an API on this port."""

    def __init__(self, bench: Bench, **variables: str) -> None:
        self.api_port = free_port()
        usual = claude_variables(f"http://127.0.0.1:{self.api_port}")
        super().__init__(bench, **{"POCKETCODER_CLAUDE": str(claude_executable()), **usual, **variables})

    @property
    def claude_home(self) -> Path:
        """The HOME that the user's own CLI has on that machine, too."""
        return self.machine.directory


@dataclass
class Chat:
    """One connection, joined to the project. ``heard`` are the agent's events so far, as they came."""

    client: RelayClient
    project_id: str
    heard: list[Payload] = field(default_factory=list)

    async def ask(self, wire_type: str, **payload: Any) -> Any:
        async with asyncio.timeout(TIMEOUT_S):
            return await self.client.request(wire_type, payload, session_id=self.project_id)

    async def refusal(self, wire_type: str, **payload: Any) -> Any:
        """The error that the request is answered with."""
        with pytest.raises(RequestFailed) as refused:
            await self.ask(wire_type, **payload)
        return refused.value.error

    async def begin(self, content: Any, **options: Any) -> "Conversation":
        """A new session with its first message."""
        begun = await self.ask("agent_session_new", content=content, **({"options": options} if options else {}))
        return Conversation(self, begun["agentSessionId"], begun["turnId"])

    async def event(self) -> Message:
        """The next event of any type; the agent's are also noted down."""
        async with asyncio.timeout(TIMEOUT_S):
            message = await self.client.events.get()
        if message["type"] == "agent_event":
            self.heard.append(message["payload"])
        return message

    async def attention(self, kind: str) -> Payload:
        """The next word of this kind for the user's attention."""
        while True:
            message = await self.event()
            if message["type"] == "attention" and message["payload"]["kind"] == kind:
                return dict(message["payload"])


@dataclass
class Conversation:
    """A session, talked to over one connection. ``turn_id`` is its newest turn."""

    chat: Chat
    session_id: str
    turn_id: str = ""

    def on(self, chat: Chat) -> "Conversation":
        """The same over another connection."""
        return Conversation(chat, self.session_id, self.turn_id)

    async def say(self, content: Any, **options: Any) -> Payload:
        """One more message; the answer says where it stands in the queue."""
        more = {"options": options} if options else {}
        said = await self.chat.ask("agent_message", agentSessionId=self.session_id, content=content, **more)
        self.turn_id = said["turnId"]
        return dict(said)

    async def next(self, kind: str) -> Payload:
        """The next event of this type in this session."""
        while True:
            message = await self.chat.event()
            payload: Payload = message["payload"]
            if message["type"] == "agent_event" and payload["agentSessionId"] == self.session_id:
                if payload["type"] == kind:
                    return payload
                assert kind == "done" or payload["type"] != "done", f"The turn ended before any {kind}: {payload}"

    async def turn(self) -> list[Payload]:
        """Wait for the end of the newest turn; its events as the log has them."""
        while (await self.next("done"))["turnId"] != self.turn_id:
            pass
        return [event for event in await self.log() if event["turnId"] == self.turn_id]

    async def answer(self, prompt: Payload, decision: str, **more: Any) -> Payload:
        """To a prompt."""
        answered = await self.chat.ask(
            "agent_prompt_response",
            agentSessionId=self.session_id,
            promptId=prompt["promptId"],
            decision=decision,
            **more,
        )
        return dict(answered)

    async def cancel(self, turn_id: str | None = None) -> None:
        more = {"turnId": turn_id} if turn_id else {}
        assert await self.chat.ask("agent_cancel", agentSessionId=self.session_id, **more) == {"success": True}

    async def log(self, *, limit: int = 100) -> list[Payload]:
        """The payloads of all that the session's stream holds; the numbers must be without a gap."""
        events: list[Payload] = []
        more = True
        while more:
            after = events[-1]["seq"] if events else 0
            stream = f"agent:{self.session_id}"
            page = await self.chat.ask("events_read", stream=stream, afterSeq=after, limit=limit)
            events += page["events"]
            more = page["more"]
        assert [event["seq"] for event in events] == list(range(1, len(events) + 1))
        assert all(event["payload"]["seq"] == event["seq"] for event in events)
        return [event["payload"] for event in events]

    async def listed(self) -> Payload:
        """The session as the list of sessions has it; empty if it doesn't."""
        sessions = (await self.chat.ask("agent_sessions_list"))["sessions"]
        return next((session for session in sessions if session["agentSessionId"] == self.session_id), {})


@asynccontextmanager
async def chat_on(served: Served, *, device: str = "phone") -> AsyncIterator[Chat]:
    """A phone of the project's owner."""
    async with RelayClient.sign_in(served.relay.url, "ada", device=device) as client:
        await client.join(served.project_id)
        yield Chat(client, served.project_id)


async def until(is_so: Callable[[], Awaitable[bool]], *, what: str) -> None:
    """Ask until it is so. Raises AssertionError when it never was within the time."""
    deadline_s = time.monotonic() + TIMEOUT_S
    while not await is_so():
        assert time.monotonic() < deadline_s, f"{what} did not come about within {TIMEOUT_S:g} s."


def kinds(events: list[Payload]) -> list[str]:
    return [event["type"] for event in events]


def only(events: list[Payload], kind: str) -> Payload:
    """The one event of this type."""
    (found,) = [event for event in events if event["type"] == kind]
    return found


def texts(events: list[Payload]) -> list[str]:
    return [event["text"] for event in events if event["type"] == "text"]


def outcome(events: list[Payload]) -> str:
    """How the turn ended: exactly once, and nothing came after it."""
    assert kinds(events).count("done") == 1
    assert events[-1]["type"] == "done"
    return str(events[-1]["reason"])
