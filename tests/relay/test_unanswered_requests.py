"""Requests that no daemon answers: docs/protocol.md, "Envelope"."""

import asyncio
import time
from pathlib import Path

from host.protocol.limits import MAX_PENDING_REQUESTS
from relay_stub.client import Message, RelayClient, RequestFailed
from tests.support.relay import (
    PROJECT,
    ScriptedDaemon,
    answer_to,
    error_of,
    frame,
    next_message,
    running_relay,
    settled,
)


async def test_a_request_to_a_machine_that_is_not_connected_is_answered_at_once(relay_url: str) -> None:
    async with RelayClient.sign_in(relay_url, "alice") as client:
        async with ScriptedDaemon.connect(relay_url, "alice"):
            pass
        while (await next_message(client))["payload"]["connected"]:
            pass
        for wire_type in ("fs_list", "command_exec", "brand_new"):
            answer = await answer_to(client, wire_type, requestId="r1", sessionId=PROJECT)
            assert answer == {"type": "error", "requestId": "r1", "sessionId": PROJECT, "error": answer["error"]}
            assert answer["error"]["code"] == "MACHINE_OFFLINE"


async def test_when_the_daemons_link_drops_its_requests_are_offline_but_commands_wait_for_it(relay_url: str) -> None:
    async with RelayClient.sign_in(relay_url, "alice") as client:
        async with ScriptedDaemon.connect(relay_url, "alice") as daemon:
            listing = asyncio.create_task(client.request("fs_list", session_id=PROJECT))
            running = asyncio.create_task(client.request("command_exec", session_id=PROJECT, request_id="run"))
            requests = [await daemon.next_request(), await daemon.next_request()]
        assert await code_of(listing) == "MACHINE_OFFLINE"
        async with ScriptedDaemon.connect(relay_url, "alice") as daemon:
            (command,) = [request for request in requests if request["type"] == "command_exec"]
            exited = {"requestId": "run", "seq": 1, "reason": "exited", "exitCode": 0}
            await daemon.send(
                "command_exit", requestId="run", sessionId=PROJECT, replyTo=command["replyTo"], payload=exited
            )
            assert await running == exited


async def test_another_machines_loss_fails_nothing_here(relay_url: str) -> None:
    async with (
        ScriptedDaemon.connect(relay_url, "alice") as daemon,
        RelayClient.sign_in(relay_url, "alice") as client,
    ):
        asked = asyncio.create_task(client.request("fs_list", session_id=PROJECT))
        request = await daemon.next_request()
        async with ScriptedDaemon.connect(relay_url, "alice", machine_key="other", projects=["p2"]):
            pass
        async with ScriptedDaemon.connect(relay_url, "bob"):
            pass
        await daemon.answer(request, {"here": True})
        assert await asked == {"here": True}


async def test_no_answer_in_time_is_a_timeout_and_a_late_one_is_dropped(tmp_path: Path) -> None:
    async with (
        running_relay(tmp_path / "relay", request_timeout_s=0.1) as url,
        ScriptedDaemon.connect(url, "alice") as daemon,
        RelayClient.sign_in(url, "alice") as client,
    ):
        await client.join(PROJECT)
        assert (await error_of(client, "fs_list", sessionId=PROJECT)).code == "REQUEST_TIMEOUT"
        await daemon.answer(await daemon.next_request(), {"late": True})
        await daemon.register()
        assert await settled(client) == []


async def test_a_command_is_waited_for_as_long_as_it_may_run_and_the_usual_time(tmp_path: Path) -> None:
    async with (
        running_relay(tmp_path / "relay", request_timeout_s=0.1) as url,
        ScriptedDaemon.connect(url, "alice"),
        RelayClient.sign_in(url, "alice") as client,
    ):
        asked_at_s = time.monotonic()
        error = await error_of(client, "command_exec", sessionId=PROJECT, payload={"command": "x", "timeoutMs": 200})
        assert error.code == "REQUEST_TIMEOUT"
        assert time.monotonic() - asked_at_s >= 0.29


async def test_256_requests_may_wait_on_a_connection(relay_url: str) -> None:
    async with (
        ScriptedDaemon.connect(relay_url, "alice") as daemon,
        RelayClient.sign_in(relay_url, "alice") as busy,
        RelayClient.sign_in(relay_url, "alice") as other,
    ):
        for number in range(MAX_PENDING_REQUESTS):
            await busy.send_raw(frame("fs_list", requestId=str(number), sessionId=PROJECT))
        requests = [await daemon.next_request() for _ in range(MAX_PENDING_REQUESTS)]
        error = await error_of(busy, "fs_list", sessionId=PROJECT)
        assert error.code == "RATE_LIMITED"
        assert error.details is not None
        assert error.details["retryAfterMs"] > 0
        assert await busy.projects(), "What the relay answers itself waits for nobody."
        others = asyncio.create_task(other.request("fs_list", session_id=PROJECT))
        await daemon.answer(await daemon.next_request(), {"for": "other"})
        assert await others == {"for": "other"}
        await daemon.answer(requests[0])
        assert (await next_message(busy))["requestId"] == requests[0]["requestId"]
        await busy.send_raw(frame("fs_list", requestId="one more", sessionId=PROJECT))
        assert (await daemon.next_request())["requestId"] == "one more"


async def code_of(asked: "asyncio.Task[Message]") -> str:
    """The code of the error that the request ends in."""
    try:
        answer = await asked
    except RequestFailed as exc:
        return exc.error.code
    raise AssertionError(f"It was answered: {answer}")
