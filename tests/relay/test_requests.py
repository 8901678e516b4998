"""A request and its one answer: docs/protocol.md, "Envelope"."""

import asyncio

from relay_stub.client import Message, RelayClient
from tests.support.relay import (
    MACHINE,
    PROJECT,
    ScriptedDaemon,
    answer_to,
    error_of,
    frame,
    settled,
)


async def test_a_request_reaches_the_daemon_with_the_way_back_and_who_asks(relay_url: str) -> None:
    async with (
        ScriptedDaemon.connect(relay_url, "alice") as daemon,
        RelayClient.sign_in(relay_url, "alice", device="Pixel") as client,
    ):
        await client.send_raw(
            frame(
                "fs_read",
                requestId="r1",
                sessionId=PROJECT,
                payload={"path": "a", "unknown": [1.50, "ä"]},
                replyTo="forged",
                **{"from": {"connectionId": "forged", "device": "forged"}},
            )
        )
        connection_id = client.welcome["connectionId"]
        assert await daemon.next_request() == {
            "type": "fs_read",
            "requestId": "r1",
            "sessionId": PROJECT,
            "payload": {"path": "a", "unknown": [1.50, "ä"]},
            "replyTo": connection_id,
            "from": {"connectionId": connection_id, "device": "Pixel"},
        }


async def test_a_device_with_a_long_name_is_welcome_and_called_by_its_beginning(relay_url: str) -> None:
    user_agent = (
        "Mozilla/5.0 (Linux; Android 10; K) AppleWebKit/537.36 (KHTML, like Gecko) "
        "Chrome/142.0.0.0 Mobile Safari/537.36"
    )
    async with (
        ScriptedDaemon.connect(relay_url, "alice") as daemon,
        RelayClient.sign_in(relay_url, "alice", device=user_agent) as client,
    ):
        await client.send_raw(frame("fs_list", requestId="r1", sessionId=PROJECT))
        assert (await daemon.next_request())["from"]["device"] == user_agent[:100]


async def test_an_answer_reaches_its_asker_alone_without_the_way_it_took(relay_url: str) -> None:
    async with (
        ScriptedDaemon.connect(relay_url, "alice") as daemon,
        RelayClient.sign_in(relay_url, "alice") as asker,
        RelayClient.sign_in(relay_url, "alice") as other,
    ):
        await asker.join(PROJECT)
        await other.join(PROJECT)
        asked = asyncio.create_task(answer_to(asker, "fs_list", requestId="r1", sessionId=PROJECT))
        request = await daemon.next_request()
        await daemon.send(
            "fs_list_response",
            requestId="r1",
            sessionId="whatever it says",
            machineKey="whatever it says",
            replyTo=request["replyTo"],
            payload={"path": ""},
            **{"from": request["from"]},
        )
        assert await asked == {
            "type": "fs_list_response",
            "requestId": "r1",
            "sessionId": PROJECT,
            "payload": {"path": ""},
        }
        assert await settled(asker) == await settled(other) == []


async def test_a_daemons_error_keeps_code_message_and_details(relay_url: str) -> None:
    error = {"code": "FILE_NOT_FOUND", "message": "No such file.", "details": {"path": "a"}}
    async with ScriptedDaemon.connect(relay_url, "alice") as daemon, RelayClient.sign_in(relay_url, "alice") as client:
        asked = asyncio.create_task(answer_to(client, "fs_read", requestId="r1", sessionId=PROJECT))
        request = await daemon.next_request()
        await daemon.send("error", requestId="r1", replyTo=request["replyTo"], error=error)
        assert await asked == {"type": "error", "requestId": "r1", "sessionId": PROJECT, "error": error}


async def test_only_the_first_terminal_message_is_delivered(relay_url: str) -> None:
    async with ScriptedDaemon.connect(relay_url, "alice") as daemon, RelayClient.sign_in(relay_url, "alice") as client:
        asked = asyncio.create_task(client.request("fs_list", session_id=PROJECT))
        request = await daemon.next_request()
        for number in (1, 2):
            await daemon.answer(request, {"number": number})
        await daemon.send("error", requestId=request["requestId"], replyTo=request["replyTo"], error=ANY_ERROR)
        assert await asked == {"number": 1}
        await daemon.register()
        assert await settled(client) == []


async def test_another_types_response_is_no_answer(relay_url: str) -> None:
    async with ScriptedDaemon.connect(relay_url, "alice") as daemon, RelayClient.sign_in(relay_url, "alice") as client:
        asked = asyncio.create_task(client.request("fs_list", session_id=PROJECT))
        request = await daemon.next_request()
        await daemon.answer(request | {"type": "fs_read"}, {"wrong": True})
        await daemon.answer(request, {"right": True})
        assert await asked == {"right": True}


async def test_another_machine_of_the_user_cannot_answer_for_the_one_that_was_asked(relay_url: str) -> None:
    async with (
        ScriptedDaemon.connect(relay_url, "alice") as asked_daemon,
        ScriptedDaemon.connect(relay_url, "alice", machine_key="other", projects=["p2"]) as other,
        RelayClient.sign_in(relay_url, "alice") as client,
    ):
        asked = asyncio.create_task(client.request("fs_list", session_id=PROJECT))
        request = await asked_daemon.next_request()
        await other.answer(request | {"machineKey": MACHINE}, {"by": "other"})
        await other.register(projects=["p2"])
        await asked_daemon.answer(request, {"by": "asked"})
        assert await asked == {"by": "asked"}


async def test_the_same_request_sent_again_while_it_waits_is_forwarded_and_answered_once(relay_url: str) -> None:
    async with ScriptedDaemon.connect(relay_url, "alice") as daemon, RelayClient.sign_in(relay_url, "alice") as client:
        for _ in range(2):
            await client.send_raw(frame("fs_write", requestId="r1", sessionId=PROJECT))
        first, second = await daemon.next_request(), await daemon.next_request()
        assert first == second
        await daemon.answer(first, {"success": True})
        await daemon.answer(second, {"success": True})
        await daemon.register()
        assert [message["type"] for message in await settled(client)] == ["fs_write_response"]


async def test_two_devices_may_wait_for_one_request(relay_url: str) -> None:
    async with (
        ScriptedDaemon.connect(relay_url, "alice") as daemon,
        RelayClient.sign_in(relay_url, "alice") as phone,
        RelayClient.sign_in(relay_url, "alice") as tablet,
    ):
        asked = [
            asyncio.create_task(client.request("fs_write", session_id=PROJECT, request_id="r1"))
            for client in (phone, tablet)
        ]
        for _ in asked:
            await daemon.answer(await daemon.next_request(), {"success": True})
        assert await asyncio.gather(*asked) == [{"success": True}] * 2


async def test_an_answer_for_a_client_that_is_gone_disturbs_nobody(relay_url: str) -> None:
    async with ScriptedDaemon.connect(relay_url, "alice") as daemon, RelayClient.sign_in(relay_url, "alice") as client:
        async with RelayClient.sign_in(relay_url, "alice") as leaving:
            await leaving.send_raw(frame("fs_list", requestId="r1", sessionId=PROJECT))
            request = await daemon.next_request()
        await daemon.answer(request)
        asked = asyncio.create_task(client.request("fs_list", session_id=PROJECT))
        await daemon.answer(await daemon.next_request(), {"still": "here"})
        assert await asked == {"still": "here"}


async def test_what_the_relay_cannot_place_is_refused_in_the_contracts_order(relay_url: str) -> None:
    async with ScriptedDaemon.connect(relay_url, "alice"), RelayClient.sign_in(relay_url, "alice") as client:
        refusals: list[tuple[str, Message, str]] = [
            ("fs_list", {}, "INVALID_REQUEST"),
            ("project_join", {}, "INVALID_REQUEST"),
            ("project_leave", {}, "INVALID_REQUEST"),
            ("fs_list", {"machineKey": MACHINE}, "INVALID_REQUEST"),
            ("fs_list", {"sessionId": "nowhere"}, "PROJECT_NOT_FOUND"),
            ("project_join", {"sessionId": "nowhere"}, "PROJECT_NOT_FOUND"),
            ("fs_list", {"sessionId": PROJECT, "machineKey": "other"}, "INVALID_REQUEST"),
            ("brand_new", {}, "UNSUPPORTED"),
            ("brand_new", {"sessionId": "nowhere"}, "UNSUPPORTED"),
            ("brand_new", {"machineKey": "nowhere"}, "UNSUPPORTED"),
            ("daemon_register", {}, "UNSUPPORTED"),
            ("relay.machine_lost", {"sessionId": PROJECT}, "UNSUPPORTED"),
            ("relay.session_revoked", {"machineKey": MACHINE}, "UNSUPPORTED"),
        ]
        for wire_type, members, code in refusals:
            assert (await error_of(client, wire_type, **members)).code == code, (wire_type, members)


async def test_types_of_a_newer_client_and_daemon_pass_by_project_and_by_machine(relay_url: str) -> None:
    async with ScriptedDaemon.connect(relay_url, "alice") as daemon, RelayClient.sign_in(relay_url, "alice") as client:
        for names in ({"session_id": PROJECT}, {"machine_key": MACHINE}):
            asked = asyncio.create_task(client.request("brand_new", {"a": 1}, **names))
            await daemon.answer(await daemon.next_request(), {"b": 2})
            assert await asked == {"b": 2}


async def test_many_at_once_each_get_their_own_answer(relay_url: str) -> None:
    async with (
        ScriptedDaemon.connect(relay_url, "alice") as laptop,
        ScriptedDaemon.connect(relay_url, "alice", machine_key="desktop", projects=["p2"]) as desktop,
        RelayClient.sign_in(relay_url, "alice") as phone,
        RelayClient.sign_in(relay_url, "alice") as tablet,
    ):
        answering = [asyncio.create_task(daemon.answer_all()) for daemon in (laptop, desktop)]
        payloads = [
            {"client": client.welcome["connectionId"], "project": project, "number": number}
            for client in (phone, tablet)
            for project in (PROJECT, "p2")
            for number in range(100)
        ]
        by_connection = {client.welcome["connectionId"]: client for client in (phone, tablet)}
        answers = await asyncio.gather(
            *(
                by_connection[payload["client"]].request("fs_list", payload, session_id=payload["project"])
                for payload in payloads
            )
        )
        assert answers == payloads
        for task in answering:
            task.cancel()
        await asyncio.gather(*answering, return_exceptions=True)


ANY_ERROR = {"code": "CONFLICT", "message": "No."}
