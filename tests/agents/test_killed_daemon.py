"""kill -9 of a real daemon: nothing that was accepted is lost or run twice, and every turn has its one end."""

import asyncio
import random
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import pytest

from relay_stub.client import RelayClient
from tests.support.processes import CHECKOUT, Bench, MachineProcess, bench_in, environment, eventually, free_port
from tests.support.retrying_phone import RetryingPhone

pytestmark = pytest.mark.slow

TIMEOUT_S: Final = 30.0
KILLS: Final = 6
SESSIONS: Final = 3
MAX_TURNS_BEFORE_KILL: Final = 12
SCRIPT: Final = "\n".join(f"say {number}" for number in range(15))

Message = dict[str, Any]


@dataclass
class ScriptedMachine(MachineProcess):
    """A machine whose daemon drives the scripted agent, which keeps a diary."""

    @property
    def diary(self) -> list[str]:
        """The ids of all turns that the agent was ever given."""
        with suppress(FileNotFoundError):
            return (self.directory / "diary").read_text().split()
        return []

    def start(self) -> int:
        ours = {"POCKETCODER_HOME": str(self.home), "POCKETCODER_CONTROL_PORT": str(self.control_port)}
        variables = environment(self.directory, SCRIPTED_AGENT_DIARY=str(self.directory / "diary"), **ours)
        with (self.directory / "foreground.txt").open("ab") as output:
            self.foreground = subprocess.Popen(
                [sys.executable, "-m", "tests.support.scripted_daemon", "start", "--foreground"],
                env=variables,
                cwd=CHECKOUT,
                stdout=output,
                stderr=subprocess.STDOUT,
            )
        self.wait_until_connected()
        return self.foreground_pid

    @property
    def foreground_pid(self) -> int:
        assert self.foreground is not None
        return self.foreground.pid

    def wait_until_connected(self) -> Message:
        def is_connected() -> bool:
            done = self.command("status", "--json")
            return done.returncode == 0 and '"connected": true' in done.stdout

        eventually(is_connected, what="The daemon's connection")
        return self.status()


@dataclass
class World:
    """A project on such a machine, and a phone that sends again until it hears what became of a request."""

    machine: ScriptedMachine
    relay_url: str
    project_id: str
    phone: RetryingPhone
    unknown: int = 0
    accepted: dict[str, list[str]] = field(default_factory=dict)

    async def ask(self, wire_type: str, **payload: Any) -> Message:
        """The whole terminal message."""
        async with asyncio.timeout(TIMEOUT_S):
            return await self.phone.ask(wire_type, payload)

    async def begin(self, content: str) -> str:
        """A new session's id."""
        while True:
            answer = (await self.ask("agent_session_new", content=content)).get("payload")
            if answer is not None:
                self.accepted[answer["agentSessionId"]] = [answer["turnId"]]
                return str(answer["agentSessionId"])
            self.unknown += 1

    async def send(self, session: str, content: str) -> None:
        answer = await self.ask("agent_message", agentSessionId=session, content=content)
        if "payload" in answer:
            self.accepted[session].append(answer["payload"]["turnId"])
        else:
            assert answer["error"]["details"] == {"outcome": "unknown"}, answer
            self.unknown += 1

    async def log(self, session: str) -> list[Message]:
        payloads: list[Message] = []
        more = True
        while more:
            answer = await self.ask("events_read", stream=f"agent:{session}", afterSeq=len(payloads), limit=1000)
            payloads += [event["payload"] for event in answer["payload"]["events"]]
            more = answer["payload"]["more"]
        assert [payload["seq"] for payload in payloads] == list(range(1, len(payloads) + 1))
        return payloads

    async def finished_log(self, session: str) -> list[Message]:
        """The log once all that was accepted has ended."""
        async with asyncio.timeout(TIMEOUT_S):
            while True:
                log = await self.log(session)
                if len({event["turnId"] for event in log if event["type"] == "done"}) >= len(self.accepted[session]):
                    return log

    async def logged(self, session: str, kind: str) -> Message:
        """The first event of that type."""
        async with asyncio.timeout(TIMEOUT_S):
            while True:
                for event in await self.log(session):
                    if event["type"] == kind:
                        return event

    async def kill_and_start(self) -> None:
        await asyncio.to_thread(self.machine.kill)
        await asyncio.to_thread(self.machine.start)


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    with bench_in(tmp_path) as bench:
        yield bench


@pytest.fixture
async def world(bench: Bench) -> AsyncIterator[World]:
    relay, root = bench.relay(), bench.project()
    machine = ScriptedMachine(bench.directory / "machine", free_port())
    machine.directory.mkdir()
    machine.login(relay.url)
    project_id = machine.add(root)
    await asyncio.to_thread(machine.start)
    async with RetryingPhone.open(relay.url, "ada", project_id) as phone:
        yield World(machine, relay.url, project_id, phone)
    await asyncio.to_thread(machine.stop)


def turns_of(log: list[Message], kind: str) -> list[str]:
    return [event["turnId"] for event in log if event["type"] == kind]


async def test_what_waited_for_an_answer_is_interrupted_and_the_queue_goes_on_by_itself(world: World) -> None:
    session = await world.begin("ask Bash")
    for number in range(3):
        await world.send(session, f"say {number}")
    prompt = await world.logged(session, "prompt")
    status = await asyncio.to_thread(world.machine.succeed, "status")
    assert "claude 1.0, signed in, 1 waiting for an answer" in status
    await world.kill_and_start()

    log = await world.finished_log(session)
    first, *queued = world.accepted[session]
    assert [event["type"] for event in log if event["turnId"] == first] == [
        "user",
        "init",
        "prompt",
        "prompt_resolved",
        "done",
    ]
    ends = {event["turnId"]: event["reason"] for event in log if event["type"] == "done"}
    assert ends == {first: "interrupted", **dict.fromkeys(queued, "completed")}
    assert world.machine.diary == [first, *queued]
    late = await world.ask(
        "agent_prompt_response", agentSessionId=session, promptId=prompt["promptId"], decision="allow"
    )
    assert late["payload"] == {"success": True, "applied": False, "decision": "interrupted"}


async def test_a_forced_stop_interrupts_what_runs_and_says_so_to_who_listens(world: World) -> None:
    session = await world.begin("hold")
    await world.send(session, "say later")
    await world.logged(session, "init")
    async with RelayClient.sign_in(world.relay_url, "ada") as listener:
        await asyncio.to_thread(world.machine.succeed, "stop", "--force")
        async with asyncio.timeout(TIMEOUT_S):
            while (heard := await listener.events.get())["type"] != "attention":
                pass
    assert (heard["payload"]["kind"], heard["payload"]["agentSessionId"]) == ("failed", session)
    await asyncio.to_thread(world.machine.wait_for_end, world.machine.foreground_pid)
    await asyncio.to_thread(world.machine.start)
    log = await world.finished_log(session)
    assert [event["reason"] for event in log if event["type"] == "done"] == ["interrupted", "completed"]


@pytest.mark.timeout(150)
async def test_kills_at_random_moments_lose_nothing_and_run_nothing_twice(world: World) -> None:
    sessions = [await world.begin(SCRIPT) for _ in range(SESSIONS)]
    for _ in range(KILLS):
        for _ in range(random.randint(1, MAX_TURNS_BEFORE_KILL)):
            await world.send(random.choice(sessions), SCRIPT)
        sending = asyncio.create_task(world.send(random.choice(sessions), SCRIPT))
        await world.kill_and_start()
        await sending
    for session in sessions:
        log = await world.finished_log(session)
        # An unknown outcome means that nothing was done, because a turn is there whole or not at all.
        assert turns_of(log, "user") == world.accepted[session]
        assert turns_of(log, "done") == world.accepted[session]
        begun = turns_of(log, "init")
        assert begun == [turn for turn in world.accepted[session] if turn in begun]
        for turn in world.accepted[session]:
            events = [event for event in log if event["turnId"] == turn]
            assert events[-1]["type"] == "done"
            if events[-1]["reason"] == "completed":
                assert [event["text"] for event in events if event["type"] == "text"] == [
                    str(number) for number in range(15)
                ]
            else:
                assert events[-1]["reason"] == "interrupted"
    diary = world.machine.diary
    assert len(diary) == len(set(diary))
    assert set(diary) <= {turn for turns in world.accepted.values() for turn in turns}
