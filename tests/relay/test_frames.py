"""What a frame may be: docs/protocol.md, "Connections"."""

import asyncio
from itertools import product

import pytest

from host.protocol.close_codes import CloseCode
from host.protocol.limits import MAX_CLIENT_FRAME_BYTES, MAX_FRAME_BYTES
from relay_stub.client import Message, RelayClient
from relay_stub.strangers import MAX_DECODED_BYTES
from tests.support.relay import (
    CLIENT_PATH,
    DAEMON_PATH,
    PROJECT,
    RawSocket,
    ScriptedDaemon,
    answer_to,
    close_code,
    frame,
    head_of_frame,
    next_message,
    settled,
)


def frame_of_size(size_bytes: int, wire_type: str, **members: object) -> bytes:
    """A message of exactly that many bytes, by the length of its payload."""
    empty = len(frame(wire_type, payload={"content": ""}, **members))
    return frame(wire_type, payload={"content": "x" * (size_bytes - empty)}, **members)


async def test_a_clients_frame_of_exactly_16_mib_is_forwarded_whole(relay_url: str) -> None:
    async with ScriptedDaemon.connect(relay_url, "alice") as daemon, RelayClient.sign_in(relay_url, "alice") as client:
        sent = frame_of_size(MAX_CLIENT_FRAME_BYTES, "fs_write", requestId="r1", sessionId=PROJECT)
        await client.send_raw(sent)
        request = await daemon.next_request()
        assert frame("fs_write", payload=request["payload"], requestId="r1", sessionId=PROJECT) == sent


async def test_a_clients_frame_of_one_byte_more_closes_with_1009_before_it_is_read(relay_url: str) -> None:
    async with RawSocket.connect(relay_url, CLIENT_PATH) as client:
        client.writer.write(head_of_frame(MAX_CLIENT_FRAME_BYTES + 1))
        assert await client.read_to_close() == 1009


async def test_a_daemons_answer_of_exactly_32_mib_reaches_the_client(relay_url: str) -> None:
    async with ScriptedDaemon.connect(relay_url, "alice") as daemon, RelayClient.sign_in(relay_url, "alice") as client:
        asked = asyncio.create_task(client.request("fs_read", session_id=PROJECT, request_id="r1"))
        request = await daemon.next_request()
        answer = frame_of_size(MAX_FRAME_BYTES, "fs_read_response", requestId="r1", replyTo=request["replyTo"])
        await daemon.peer.send_raw(answer)
        assert len((await asked)["content"]) > MAX_FRAME_BYTES - 1024


async def test_a_daemons_frame_of_one_byte_more_closes_with_1009_before_it_is_read(relay_url: str) -> None:
    async with RawSocket.connect(relay_url, DAEMON_PATH) as daemon:
        daemon.writer.write(head_of_frame(MAX_FRAME_BYTES + 1))
        assert await daemon.read_to_close() == 1009


async def test_a_client_is_told_the_limit_of_what_it_sends_and_a_daemon_its_own(relay_url: str) -> None:
    async with ScriptedDaemon.connect(relay_url, "alice") as daemon, RelayClient.sign_in(relay_url, "alice") as client:
        assert client.welcome["limits"]["maxFrameBytes"] == MAX_CLIENT_FRAME_BYTES
        assert daemon.registered["limits"]["maxFrameBytes"] == MAX_FRAME_BYTES


@pytest.mark.parametrize(("size_bytes", "is_decoded"), [(MAX_DECODED_BYTES, True), (MAX_DECODED_BYTES + 1, False)])
async def test_what_takes_long_to_decode_is_not_decoded_for_a_stranger(
    relay_url: str, size_bytes: int, is_decoded: bool
) -> None:
    async with RelayClient.connect(relay_url) as stranger:
        await stranger.send_raw(frame_of_size(size_bytes, "fs_write", requestId="r1"))
        refusal = await next_message(stranger)
        assert refusal["error"]["code"] == "UNAUTHORIZED"
        assert ("requestId" in refusal) == is_decoded
        assert await stranger.closed() == CloseCode.NOT_AUTHENTICATED


NO_MESSAGES = {
    "not JSON": b"hello",
    "an empty frame": b"",
    "half a message": b'{"type":"machines_list"',
    "no object": b'["machines_list"]',
    "no type": b"{}",
    "a type that is no string": b'{"type":7}',
    "a type that is null": b'{"type":null}',
    "JSON 100,000 levels deep": b'{"type":"machines_list","payload":' + b"[" * 100_000 + b"]" * 100_000 + b"}",
    "not UTF-8": b'{"type":"machines_list","requestId":"\xff"}',
}


async def test_what_is_no_message_is_refused_and_the_connection_goes_on(relay_url: str) -> None:
    async with RelayClient.sign_in(relay_url, "alice") as client:
        for name, sent in NO_MESSAGES.items():
            await client.send_raw(sent)
            refusal = await next_message(client)
            assert_invalid(refusal)
            assert "requestId" not in refusal, name
        assert await client.projects() == []


async def test_a_binary_frame_is_no_message_whatever_it_holds(relay_url: str) -> None:
    async with RelayClient.sign_in(relay_url, "alice") as client:
        await client.send_raw(frame("machines_list", requestId="r1"), binary=True)
        refusal = await next_message(client)
        assert_invalid(refusal)
        assert refusal["requestId"] == "r1"
        assert await settled(client) == []


async def test_the_request_id_is_kept_where_it_can_be_read(relay_url: str) -> None:
    async with RelayClient.sign_in(relay_url, "alice") as client:
        for sent in (b'{"type":7,"requestId":"r1"}', b'{"requestId":"r1"}', b'{"requestId":"r1","type":["x"]}'):
            await client.send_raw(sent)
            refusal = await next_message(client)
            assert_invalid(refusal)
            assert refusal["requestId"] == "r1"


async def test_a_wrong_member_of_the_envelope_is_named(relay_url: str) -> None:
    wrong = {"sessionId": 7, "machineKey": {}, "requestId": 7, "from": "me", "error": "no"}
    async with RelayClient.sign_in(relay_url, "alice") as client:
        for member, value in wrong.items():
            await client.send_raw(frame("machines_list", **{"requestId": "r1", member: value}))
            refusal = await next_message(client)
            assert_invalid(refusal)
            assert refusal["error"]["details"]["errors"][0]["field"] == member
            assert refusal.get("requestId") == (None if member == "requestId" else "r1")


async def test_a_request_id_is_1_to_128_printable_ascii_characters(relay_url: str) -> None:
    wire_types = ("machines_list", "fs_list", "project_join", "token_refresh")
    async with ScriptedDaemon.connect(relay_url, "alice"), RelayClient.sign_in(relay_url, "alice") as client:
        for wire_type, request_id in product(wire_types, ("", "x" * 129, "a\nb", "ä", "\x7f")):
            await client.send_raw(frame(wire_type, requestId=request_id, sessionId=PROJECT))
            refusal = await next_message(client)
            assert_invalid(refusal)
            assert refusal["error"]["details"]["errors"][0]["field"] == "requestId"


async def test_a_lone_surrogate_is_answered_to_its_asker_and_is_no_bad_frame(relay_url: str) -> None:
    async with ScriptedDaemon.connect(relay_url, "alice"), RelayClient.sign_in(relay_url, "alice") as client:
        for _ in range(120):
            await client.send_raw(
                rb'{"type":"fs_read","requestId":"r1","sessionId":"%s","payload":{"path":"\ud800"}}' % PROJECT.encode()
            )
        for _ in range(120):
            refusal = await next_message(client)
            assert_invalid(refusal)
            assert refusal["requestId"] == "r1"


async def test_a_request_without_an_id_is_refused(relay_url: str) -> None:
    async with RelayClient.sign_in(relay_url, "alice") as client:
        await client.send_raw(frame("machines_list"))
        refusal = await next_message(client)
        assert_invalid(refusal)
        assert refusal["error"]["details"]["errors"][0]["field"] == "requestId"


async def test_the_longest_request_id_is_answered(relay_url: str) -> None:
    async with RelayClient.sign_in(relay_url, "alice") as client:
        answer = await answer_to(client, "machines_list", requestId="~" * 128)
        assert answer["type"] == "machines_list_response"


async def test_members_that_nobody_knows_are_ignored(relay_url: str) -> None:
    async with RelayClient.sign_in(relay_url, "alice") as client:
        answer = await answer_to(client, "machines_list", somethingNew={"a": 1}, payload={"somethingNew": 1})
        assert answer["type"] == "machines_list_response"


async def test_the_hundredth_bad_frame_in_ten_seconds_closes_with_4400(relay_url: str) -> None:
    async with RelayClient.sign_in(relay_url, "alice") as client:
        for _ in range(99):
            await client.send_raw(b"nonsense")
        refusals = await settled(client)
        assert len(refusals) == 99
        for refusal in refusals:
            assert_invalid(refusal)
        await client.send_raw(b"nonsense")
        assert_invalid(await next_message(client))
        assert await close_code(client) == 4400


async def test_messages_with_a_wrong_member_are_no_bad_frames(relay_url: str) -> None:
    async with RelayClient.sign_in(relay_url, "alice") as client:
        for _ in range(120):
            await client.send_raw(frame("machines_list", requestId="r1", sessionId=7))
        assert len(await settled(client)) == 120


async def test_a_daemon_that_sends_nonsense_is_treated_alike(relay_url: str) -> None:
    async with ScriptedDaemon.connect(relay_url, "alice") as daemon:
        for _ in range(100):
            await daemon.peer.send_raw(b"nonsense")
        assert await close_code(daemon.peer) == 4400
        for _ in range(100):
            assert_invalid(await next_message(daemon.peer))


def assert_invalid(refusal: Message) -> None:
    assert refusal["type"] == "error"
    assert refusal["error"]["code"] == "INVALID_REQUEST"
    faults = refusal["error"]["details"]["errors"]
    assert faults
    assert all(fault["field"] and fault["reason"] for fault in faults)
