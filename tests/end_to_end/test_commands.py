"""Commands from a phone: watched as they run, read again later, ended whole."""

import asyncio
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any, Final

import psutil  # type: ignore[import-untyped]
import pytest

from host.protocol.envelope import Envelope
from host.protocol.messages.base import encode_payload
from host.protocol.messages.commands import CommandExec
from relay_stub.client import Message, RelayClient, RequestFailed
from tests.end_to_end.served import Served
from tests.support.processes import Bench, eventually, resident_bytes

pytestmark = pytest.mark.slow

TIMEOUT_S: Final = 20.0
COOKIE: Final = "COMMANDS_TEST_COOKIE"


class Terminal:
    """A phone that runs commands in one project, each marked so that its processes can be found."""

    def __init__(self, client: RelayClient, served: Served) -> None:
        self.client = client
        self.served = served
        self.cookie = uuid.uuid4().hex

    async def run(self, command: str, *, request_id: str | None = None, **options: Any) -> Message:
        """The terminal message of a run."""
        payload = CommandExec.model_validate({"command": command, "env": {COOKIE: self.cookie}, **options})
        request = Envelope(
            "command_exec",
            request_id=request_id or str(uuid.uuid4()),
            session_id=self.served.project_id,
            payload=encode_payload(payload),
        )
        async with asyncio.timeout(TIMEOUT_S):
            return await self.client.ask(request)

    async def ask(self, wire_type: str, **payload: Any) -> Any:
        async with asyncio.timeout(TIMEOUT_S):
            return await self.client.request(wire_type, payload, session_id=self.served.project_id)

    async def event(self, wire_type: str = "command_output") -> Message:
        """The next event of this type."""
        async with asyncio.timeout(TIMEOUT_S):
            while (message := await self.client.events.get())["type"] != wire_type:
                pass
        return message

    async def log(self, request_id: str) -> list[Message]:
        """Everything that the run's stream holds, asked for in small pages."""
        events: list[Message] = []
        more = True
        while more:
            after = events[-1]["seq"] if events else 0
            page = await self.ask("events_read", stream=f"command:{request_id}", afterSeq=after, limit=2)
            events += page["events"]
            more = page["more"]
        assert [event["seq"] for event in events] == list(range(1, len(events) + 1))
        assert [event["payload"]["seq"] for event in events] == [event["seq"] for event in events]
        return events

    def processes(self) -> list[int]:
        """What lives of this phone's commands."""
        found = []
        for process in psutil.process_iter():
            with suppress(psutil.Error):
                if process.environ().get(COOKIE) == self.cookie and process.status() != psutil.STATUS_ZOMBIE:
                    found.append(process.pid)
        return found

    def assert_nothing_runs(self) -> None:
        eventually(lambda: not self.processes(), TIMEOUT_S, what="The end of all processes")

    async def wait_for(self, path: Path) -> None:
        await asyncio.to_thread(eventually, path.exists, TIMEOUT_S, what=f"The file {path.name}")


@asynccontextmanager
async def terminal_on(served: Served) -> AsyncIterator[Terminal]:
    async with RelayClient.sign_in(served.relay.url, "ada") as client:
        terminal = Terminal(client, served)
        yield terminal
        terminal.assert_nothing_runs()


@pytest.fixture
async def terminal(served: Served) -> AsyncIterator[Terminal]:
    async with terminal_on(served) as terminal:
        yield terminal


def text_of(events: list[Message], channel: str = "stdoutChunk") -> str:
    return "".join(event["payload"].get(channel, "") for event in events if event["type"] == "command_output")


async def test_a_command_runs_in_the_project_and_its_end_is_the_answer(terminal: Terminal) -> None:
    end = await terminal.run("pwd; cat README.md; echo oops >&2; exit 3", request_id="first")
    assert (end["type"], end["requestId"]) == ("command_exit", "first")
    payload = end["payload"]
    assert (payload["reason"], payload["exitCode"], payload["signal"], payload["truncated"]) == (
        "exited",
        3,
        None,
        False,
    )
    events = await terminal.log("first")
    assert text_of(events) == f"{terminal.served.root}\n# Read me\n"
    assert text_of(events, "stderrChunk") == "oops\n"
    assert events[-1]["type"] == "command_exit"
    assert events[-1]["payload"] == payload
    (run, *_) = (await terminal.ask("command_runs_list"))["runs"]
    assert (run["requestId"], run["reason"], run["exitCode"]) == ("first", "exited", 3)


async def test_output_comes_while_the_command_runs(terminal: Terminal) -> None:
    go = terminal.served.root / "go"
    running = asyncio.create_task(terminal.run("printf 'ready? '; until [ -e go ]; do sleep 0.02; done; echo gone"))
    event = await terminal.event()
    assert event["payload"]["stdoutChunk"] == "ready? "
    assert event["sessionId"] == terminal.served.project_id
    assert "requestId" not in event
    assert not running.done()
    go.touch()
    assert (await running)["payload"]["exitCode"] == 0


async def test_a_second_phone_reads_what_the_first_one_missed(served: Served, terminal: Terminal) -> None:
    go = served.root / "go-on"
    async with RelayClient.sign_in(served.relay.url, "ada") as client:
        leaving = Terminal(client, served)
        command = "echo one; until [ -e go-on ]; do sleep 0.02; done; echo two; echo three"
        running = asyncio.create_task(leaving.run(command, request_id="left"))
        await leaving.event()
        running.cancel()
    assert text_of(await terminal.log("left")) == "one\n"
    go.touch()

    async def is_over() -> bool:
        return bool((await terminal.log("left"))[-1]["type"] == "command_exit")

    async with asyncio.timeout(TIMEOUT_S):
        while not await is_over():
            pass
    assert text_of(await terminal.log("left")) == "one\ntwo\nthree\n"


async def test_who_joined_hears_the_run_and_the_asker_hears_it_once(served: Served, terminal: Terminal) -> None:
    await terminal.client.join(served.project_id)
    async with RelayClient.sign_in(served.relay.url, "ada") as client:
        await client.join(served.project_id)
        watcher = Terminal(client, served)
        end = await terminal.run("echo hello", request_id="heard")
        assert (await watcher.event())["payload"]["stdoutChunk"] == "hello\n"
        heard_end = await watcher.event("command_exit")
        assert heard_end["payload"] == end["payload"]
        assert "requestId" not in heard_end
    await terminal.ask("command_runs_list")
    mine = [message["type"] for message in iter_events(terminal.client)]
    assert mine == ["command_output"]


def iter_events(client: RelayClient) -> list[Message]:
    found = []
    while not client.events.empty():
        found.append(client.events.get_nowait())
    return found


@pytest.mark.parametrize(
    "command",
    [
        "sleep 60",
        "setsid sleep 60 & sleep 60",
        "(setsid sleep 60 &) ; sleep 60",
        "trap '' TERM; sleep 60 & wait; sleep 60",
        "for i in 1 2 3 4 5; do sleep 60 & done; wait",
    ],
)
async def test_cancelling_ends_the_whole_tree_and_may_be_repeated(terminal: Terminal, command: str) -> None:
    request_id = str(uuid.uuid4())
    running = asyncio.create_task(terminal.run(f"echo up; {command}", request_id=request_id))
    await terminal.event()
    assert await terminal.ask("command_cancel", requestId=request_id) == {"success": True}
    assert await terminal.ask("command_cancel", requestId=request_id) == {"success": True}
    payload = (await running)["payload"]
    assert payload["reason"] == "cancelled"
    assert payload["exitCode"] is None
    assert payload["signal"] in ("SIGTERM", "SIGKILL")
    terminal.assert_nothing_runs()
    assert await terminal.ask("command_cancel", requestId=request_id) == {"success": True}
    assert (await terminal.log(request_id))[-1]["payload"]["reason"] == "cancelled"


async def test_a_command_is_cancelled_also_when_that_comes_right_behind_it(terminal: Terminal) -> None:
    for number in range(10):
        request_id = f"hasty-{number}"
        running = asyncio.create_task(terminal.run("sleep 60", request_id=request_id))
        # Both are on their way before anything is answered.
        await asyncio.sleep(0)
        assert await terminal.ask("command_cancel", requestId=request_id) == {"success": True}
        assert (await running)["payload"]["reason"] == "cancelled"


async def test_what_a_shell_leaves_behind_is_ended(terminal: Terminal) -> None:
    end = await terminal.run("echo done; sleep 60 & setsid sleep 60 &")
    assert end["payload"]["exitCode"] == 0
    assert end["payload"]["durationMs"] < 5_000
    terminal.assert_nothing_runs()


async def test_at_its_limit_the_asker_gets_an_error_and_the_others_the_end(served: Served, terminal: Terminal) -> None:
    await terminal.client.join(served.project_id)
    async with RelayClient.sign_in(served.relay.url, "ada") as client:
        await client.join(served.project_id)
        answer = await terminal.run("echo up; sleep 60", request_id="late", timeoutMs=300)
        assert answer["error"]["code"] == "COMMAND_TIMEOUT"
        assert (await Terminal(client, served).event("command_exit"))["payload"]["reason"] == "timeout"
    assert (await terminal.log("late"))[-1]["payload"]["reason"] == "timeout"
    assert [message["type"] for message in iter_events(terminal.client)] == ["command_output"]
    # Sent again: not run again.
    again = await terminal.run("echo up; sleep 60", request_id="late", timeoutMs=300)
    assert again["error"]["code"] == "COMMAND_TIMEOUT"


async def test_a_flood_is_cut_off_and_drained_and_comes_in_few_messages(terminal: Terminal) -> None:
    end = await terminal.run("head -c 50000000 /dev/zero | tr '\\0' x; echo; echo the end", request_id="flood")
    payload = end["payload"]
    assert (payload["exitCode"], payload["truncated"]) == (0, True)
    assert payload["outputTail"].endswith("x\nthe end\n")
    assert len(payload["outputTail"].encode()) <= 8 * 1024
    events = await terminal.log("flood")
    assert len(text_of(events).encode()) == 300 * 1024
    assert len(events) < 100


async def test_yes_for_ten_seconds_is_ended_at_its_limit(terminal: Terminal) -> None:
    answer = await terminal.run("yes", request_id="yes", timeoutMs=10_000)
    assert answer["error"]["code"] == "COMMAND_TIMEOUT"
    end = (await terminal.log("yes"))[-1]["payload"]
    assert (end["reason"], end["truncated"], end["signal"]) == ("timeout", True, "SIGTERM")
    assert set(end["outputTail"]) == {"y", "\n"}


async def test_what_is_no_text_is_replaced_and_a_character_in_two_writes_is_whole(terminal: Terminal) -> None:
    await terminal.run("printf 'a\\377b \\342'; sleep 0.2; printf '\\202\\254'", request_id="bytes")
    assert text_of(await terminal.log("bytes")) == "a\ufffdb \u20ac"


async def test_a_gigabyte_of_output_does_not_grow_the_daemon(terminal: Terminal) -> None:
    await terminal.run("head -c 10000000 /dev/zero")
    before = resident_bytes(terminal.served.daemon_pid)
    end = await terminal.run("head -c 1000000000 /dev/zero")
    assert (end["payload"]["exitCode"], end["payload"]["truncated"]) == (0, True)
    assert resident_bytes(terminal.served.daemon_pid) - before < 20 * 1024 * 1024


async def test_stdin_is_closed_and_the_environment_holds_nothing_of_ours(terminal: Terminal) -> None:
    await terminal.run("cat; env", request_id="env", timeoutMs=5_000)
    names = {line.partition("=")[0] for line in text_of(await terminal.log("env")).splitlines()}
    assert COOKIE in names
    assert "PATH" in names
    assert not [name for name in names if name.startswith(("POCKETCODER", "GATEWAY", "GIT_", "CLAUDE"))]


async def test_the_ninth_command_at_once_is_refused_and_not_remembered(served: Served, terminal: Terminal) -> None:
    ids = [f"busy-{number}" for number in range(8)]
    running = [asyncio.create_task(terminal.run("echo up; sleep 60", request_id=each)) for each in ids]
    for _ in ids:
        await terminal.event()
    ninth = await terminal.run("echo ninth", request_id="ninth")
    assert ninth["error"]["code"] == "DAEMON_BUSY"
    for each in ids:
        await terminal.ask("command_cancel", requestId=each)
    await asyncio.gather(*running)
    assert (await terminal.run("echo ninth", request_id="ninth"))["payload"]["exitCode"] == 0


async def test_the_same_request_twice_runs_once_and_answers_both(served: Served, terminal: Terminal) -> None:
    command = "echo x >> count; until [ -e both ]; do sleep 0.02; done; echo over"
    first = asyncio.create_task(terminal.run(command, request_id="twice"))
    await terminal.wait_for(served.root / "count")
    async with RelayClient.sign_in(served.relay.url, "ada") as client:
        other = Terminal(client, served)
        other.cookie = terminal.cookie
        second = asyncio.create_task(other.run(command, request_id="twice"))
        # Its place behind the first is sure once something sent after it was answered.
        await other.ask("command_runs_list")
        (served.root / "both").touch()
        ends = [(await first)["payload"], (await second)["payload"]]
        assert (await other.event())["payload"]["stdoutChunk"] == "over\n"
    assert ends[0] == ends[1]
    third = await terminal.run(command, request_id="twice")
    assert third["payload"] == ends[0]
    assert (served.root / "count").read_text() == "x\n"


async def test_what_was_never_run_is_not_found(terminal: Terminal) -> None:
    for wire_type, payload in (
        ("command_cancel", {"requestId": "never"}),
        ("events_read", {"stream": "command:never"}),
        ("events_read", {"stream": "nonsense"}),
    ):
        with pytest.raises(RequestFailed) as refused:
            await terminal.ask(wire_type, **payload)
        assert refused.value.error.code == "SESSION_NOT_FOUND"


async def test_a_run_outlives_the_relay(bench: Bench) -> None:
    served = Served(bench)
    command = "echo before; until [ -e after ]; do sleep 0.02; done; echo after"
    async with RelayClient.sign_in(served.relay.url, "ada") as client:
        first = Terminal(client, served)
        running = asyncio.create_task(first.run(command, request_id="outlives"))
        await first.event()
        await asyncio.to_thread(served.relay.kill)
        with pytest.raises(Exception):  # noqa: B017, PT011 - however the client notices
            await running
    await asyncio.to_thread(served.relay.start)
    (served.root / "after").touch()
    await asyncio.to_thread(served.machine.wait_until_connected)
    async with terminal_on(served) as terminal:
        terminal.cookie = first.cookie
        end = await terminal.run(command, request_id="outlives")
        assert end["payload"]["exitCode"] == 0
        assert text_of(await terminal.log("outlives")) == "before\nafter\n"


async def test_killing_the_daemon_ends_its_commands_and_their_logs_say_so(bench: Bench) -> None:
    served = Served(bench)
    async with terminal_on(served) as terminal:
        command = "echo up; setsid sleep 60 & sleep 60"
        running = asyncio.create_task(terminal.run(command, request_id="cut"))
        await terminal.event()
        eventually(lambda: len(terminal.processes()) >= 2, TIMEOUT_S, what="The start of all processes")
        await asyncio.to_thread(served.machine.kill)
        terminal.assert_nothing_runs()
        await asyncio.to_thread(served.machine.start)
        await asyncio.to_thread(served.machine.wait_until_connected)
        events = await terminal.log("cut")
        assert text_of(events) == "up\n"
        assert events[-1]["payload"]["reason"] == "interrupted"
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        again = await terminal.run(command, request_id="cut")
        assert again["error"]["details"] == {"outcome": "unknown"}


async def test_stopping_the_daemon_by_force_ends_its_commands(bench: Bench) -> None:
    served = Served(bench)
    async with terminal_on(served) as terminal:
        running = asyncio.create_task(terminal.run("echo up; sleep 60", request_id="stopped"))
        await terminal.event()
        await asyncio.to_thread(served.machine.succeed, "stop", "--force")
        terminal.assert_nothing_runs()
        await asyncio.to_thread(served.machine.start)
        await asyncio.to_thread(served.machine.wait_until_connected)
        assert (await terminal.log("stopped"))[-1]["payload"]["reason"] == "interrupted"
        running.cancel()
