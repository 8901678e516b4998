"""Stopping while there is work: what was taken on ends and is answered, what comes is told to come again."""

import asyncio
import itertools
import os
import signal
from collections import Counter
from typing import Final

import pytest

from relay_stub.client import Message, RelayClient, RequestFailed
from tests.support.processes import Bench, eventually, is_alive
from tests.support.retrying_phone import RetryingPhone

pytestmark = pytest.mark.slow

MIB: Final = 1024 * 1024
WRITERS: Final = 30
# As many as the relay keeps for a phone that reads slower than it is answered.
READS: Final = 6


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
