"""Stopping while there is work: what was taken on ends and is answered, what comes is told to come again."""

import asyncio
import itertools
import os
import signal
import time
from collections import Counter
from typing import Final
from uuid import uuid4

import msgspec
import pytest

from host.protocol.envelope import Envelope
from relay_stub.client import Message, RelayClient, RequestFailed
from tests.end_to_end.chat import AgentServed, chat_on, texts
from tests.end_to_end.chat import outcome as outcome_of
from tests.end_to_end.served import Served
from tests.support.messages_api import MessagesApi, bash, says
from tests.support.processes import Bench, MachineProcess, eventually, is_alive
from tests.support.retrying_phone import RetryingPhone

pytestmark = pytest.mark.slow

MIB: Final = 1024 * 1024
WRITERS: Final = 30
# As many as the relay keeps for a phone that reads slower than it is answered.
READS: Final = 6
# Commands get 5 s from SIGTERM to SIGKILL, on a busy machine.
FORCED_LIMIT_S: Final = 15.0


def outcome(result: Message | BaseException) -> str:
    """``done``, or the code of the error."""
    if isinstance(result, RequestFailed):
        return result.error.code
    assert not isinstance(result, BaseException), repr(result)
    return "done"


def write_of(path: str) -> dict[str, object]:
    return {"path": path, "content": f"{path}\n" * 1000, "ifMatch": None}


async def test_a_stop_waits_for_running_writes_and_no_outcome_is_unknown(bench: Bench) -> None:
    relay, machine, root = bench.relay(), bench.machine(), bench.project()
    machine.login(relay.url)
    project_id = machine.add(root)
    pid = machine.start()
    machine.wait_until_connected()
    outcomes: dict[str, str] = {}

    async def write_until_refused(phone: RelayClient, writer: int) -> None:
        for number in itertools.count():
            path = f"file-{writer}-{number}"
            try:
                await phone.request("fs_write", write_of(path), session_id=project_id, request_id=path)
            except RequestFailed as refusal:
                outcomes[path] = refusal.error.code
                return
            outcomes[path] = "done"

    async with RelayClient.sign_in(relay.url, "ada") as phone, asyncio.timeout(50), asyncio.TaskGroup() as group:
        for writer in range(WRITERS):
            group.create_task(write_until_refused(phone, writer))
        await asyncio.to_thread(eventually, lambda: len(outcomes) > WRITERS, what="The first writes")
        await asyncio.to_thread(machine.stop)
    assert not is_alive(pid)
    refused = {path: code for path, code in outcomes.items() if code != "done"}
    assert len(refused) == WRITERS
    assert set(refused.values()) <= {"DAEMON_BUSY", "MACHINE_OFFLINE"}
    for path in outcomes.keys() - refused.keys():
        assert (root / path).read_text() == write_of(path)["content"]
    machine.start()
    async with RetryingPhone.open(relay.url, "ada", project_id) as retrying:
        for path, code in refused.items():
            answer = await retrying.ask("fs_write", write_of(path), request_id=path)
            assert answer["type"] == "fs_write_response", (code, answer)
            assert (root / path).read_text() == write_of(path)["content"]


async def test_sigterm_amid_large_reads_ends_the_daemon_cleanly_and_every_read_is_answered(bench: Bench) -> None:
    relay, machine, root = bench.relay(), bench.machine(), bench.project()
    content = "0123456789abcdef" * (10 * MIB // 16)
    (root / "large.txt").write_text(content)
    machine.login(relay.url)
    project_id = machine.add(root)
    pid = machine.start_in_foreground()
    machine.wait_until_connected()
    async with RelayClient.sign_in(relay.url, "ada") as phone, asyncio.timeout(50):
        reading = [
            asyncio.create_task(phone.request("fs_read", {"path": "large.txt"}, session_id=project_id))
            for _ in range(READS)
        ]
        await asyncio.wait(reading, return_when=asyncio.FIRST_COMPLETED)
        os.kill(pid, signal.SIGTERM)
        results = await asyncio.gather(*reading, return_exceptions=True)
        await asyncio.to_thread(machine.wait_for_end, pid)
    told = Counter(map(outcome, results))
    assert told.keys() <= {"done", "DAEMON_BUSY", "MACHINE_OFFLINE"}, told
    assert all(result["content"] == content for result in results if not isinstance(result, BaseException))


async def begun(machine: MachineProcess) -> None:
    """Wait until a command runs."""
    runs = lambda: machine.status()["activity"]["commands"] == 1  # noqa: E731
    await asyncio.to_thread(eventually, runs, what="The command's start")


async def test_a_stop_gives_a_command_its_time_and_says_what_it_waits_for(bench: Bench) -> None:
    served = Served(bench)
    async with RelayClient.sign_in(served.relay.url, "ada") as phone, asyncio.timeout(50):
        command = {"command": "until [ -e go ]; do sleep 0.1; done; echo went; exit 3"}
        running = asyncio.create_task(phone.request("command_exec", command, session_id=served.project_id))
        await begun(served.machine)
        stopping = asyncio.create_task(asyncio.to_thread(served.machine.command, "stop"))
        stops = lambda: bool(served.machine.status()["stopping"])  # noqa: E731
        await asyncio.to_thread(eventually, stops, what="The stop's beginning")
        page = await asyncio.to_thread(served.machine.succeed, "status")
        assert "Stopping     waits for 1 command" in page
        started = await asyncio.to_thread(served.machine.command, "start")
        assert started.returncode == 1
        assert "is stopping and waits for 1 command. When it has stopped, run this again" in started.stderr
        examined = await asyncio.to_thread(served.machine.command, "doctor")
        assert "warning  daemon      The daemon" in examined.stdout
        (served.root / "go").touch()
        exit_ = await running
        stopped = await stopping
    assert (exit_["reason"], exit_["exitCode"]) == ("exited", 3)
    assert (stopped.returncode, stopped.stdout) == (0, "PocketCoder stopped.\n")
    assert stopped.stderr == "Waiting up to 30 s for 1 command. To end that now: pocketcoder stop --force\n"


async def test_a_forced_stop_ends_the_wait_of_another(bench: Bench) -> None:
    served = Served(bench)
    async with RelayClient.sign_in(served.relay.url, "ada") as phone, asyncio.timeout(50):
        command = {"command": "sleep 100"}
        running = asyncio.create_task(phone.ask(_request("command_exec", command, served.project_id)))
        await begun(served.machine)
        stopping = asyncio.create_task(asyncio.to_thread(served.machine.command, "stop"))
        stops = lambda: bool(served.machine.status()["stopping"])  # noqa: E731
        await asyncio.to_thread(eventually, stops, what="The stop's beginning")
        forced_s = time.monotonic()
        forced = await asyncio.to_thread(served.machine.command, "stop", "--force")
        assert time.monotonic() - forced_s < FORCED_LIMIT_S
        assert (forced.returncode, forced.stdout, forced.stderr) == (0, "PocketCoder stopped.\n", "")
        assert (await stopping).returncode == 0
        running.cancel()
    await asyncio.to_thread(served.machine.start)
    await asyncio.to_thread(served.machine.wait_until_connected)
    async with RelayClient.sign_in(served.relay.url, "ada") as phone:
        (run,) = (await phone.request("command_runs_list", session_id=served.project_id))["runs"]
    assert run["reason"] == "interrupted"


async def test_ctrl_c_waits_and_says_for_what_a_closed_terminal_changes_nothing_and_a_second_one_does(
    bench: Bench,
) -> None:
    served = Served(bench)
    await asyncio.to_thread(served.machine.stop)
    pid = await asyncio.to_thread(served.machine.start_in_foreground)
    await asyncio.to_thread(served.machine.wait_until_connected)
    said = served.machine.directory / "foreground.txt"
    async with RelayClient.sign_in(served.relay.url, "ada") as phone, asyncio.timeout(50):
        command = {"command": "sleep 100"}
        running = asyncio.create_task(phone.ask(_request("command_exec", command, served.project_id)))
        await begun(served.machine)
        os.kill(pid, signal.SIGINT)
        waits = lambda: "Waiting up to 30 s for 1 command" in said.read_text()  # noqa: E731
        await asyncio.to_thread(eventually, waits, what="What it waits for")
        os.kill(pid, signal.SIGHUP)
        assert (await asyncio.to_thread(served.machine.status))["activity"]["commands"] == 1
        again_s = time.monotonic()
        os.kill(pid, signal.SIGINT)
        await asyncio.to_thread(served.machine.wait_for_end, pid)
        assert time.monotonic() - again_s < FORCED_LIMIT_S
        running.cancel()


@pytest.mark.timeout(120)
async def test_a_stop_gives_a_turn_its_time_and_begins_no_other(bench: Bench) -> None:
    served = AgentServed(bench)
    async with MessagesApi.serve(served.api_port) as api:
        api.script("Wait", says(bash("touch began; until [ -e go ]; do sleep 0.1; done")), says("Waited."))
        api.script("And then?", says("Here I am."))
        async with chat_on(served) as chat:
            conversation = await chat.begin("Wait", allowedTools=["Bash"])
            first = conversation.turn_id
            await asyncio.to_thread(eventually, (served.root / "began").exists, what="The turn's tool")
            await conversation.say("And then?")
            command = {"command": "until [ -e leave ]; do sleep 0.1; done"}
            running = asyncio.create_task(chat.ask("command_exec", **command))
            await begun(served.machine)
            stopping = asyncio.create_task(asyncio.to_thread(served.machine.command, "stop"))
            stops = lambda: bool(served.machine.status()["stopping"])  # noqa: E731
            await asyncio.to_thread(eventually, stops, what="The stop's beginning")
            (served.root / "go").touch()
            while (await conversation.next("done"))["turnId"] != first:
                pass
            (served.root / "leave").touch()
            assert (await running)["exitCode"] == 0
            stopped = await stopping
        assert "Waiting up to 30 s for 1 command and 1 turn of an agent. " in stopped.stderr
        assert not api.asked("And then?")
        await asyncio.to_thread(served.machine.start)
        await asyncio.to_thread(served.machine.wait_until_connected)
        async with chat_on(served) as chat:
            later = conversation.on(chat)
            await asyncio.to_thread(eventually, lambda: bool(api.asked("And then?")), what="The next turn")
            while not texts(log := await later.log())[1:]:
                pass
    turn = [event for event in log if event["turnId"] == first]
    assert outcome_of(turn) == "completed"
    assert texts(log) == ["Waited.", "Here I am."]


def _request(wire_type: str, payload: object, project_id: str) -> Envelope:
    raw = msgspec.Raw(msgspec.json.encode(payload))
    return Envelope(wire_type, request_id=str(uuid4()), session_id=project_id, payload=raw)
