"""From a request to its one answer: addresses, precedence, faults, bounds."""

import asyncio
import logging
from collections.abc import AsyncIterator
from pathlib import Path
from typing import NoReturn

import msgspec
import pytest

from host.core.requests import RequestContext
from host.db.errors import DatabaseFull
from host.protocol.envelope import decode_envelope
from host.protocol.errors import (
    Conflict,
    FileNotFound,
    InvalidRequest,
    OutsideProjectRoot,
    ProjectRootGone,
    ProtocolError,
)
from host.protocol.limits import MAX_ACTIVE_REQUESTS, MAX_CONCURRENT_READS, MAX_FRAME_BYTES, MIB
from host.protocol.messages.files import FsRead, FsReadResponse, FsWrite
from tests.host_relay.router_rig import RouterRig, code_of, read_response, request, router_rig, write_request
from tests.support.host import eventually


@pytest.fixture
async def routed(tmp_path: Path) -> AsyncIterator[RouterRig]:
    async with router_rig(tmp_path / "daemon.db") as rig:
        yield rig


async def test_an_answer_carries_the_requests_ids_and_address_and_nothing_of_the_asker(routed: RouterRig) -> None:
    answer = await routed.answer(request(request_id="r7", reply_to="c3"))

    assert (answer["type"], answer["requestId"], answer["sessionId"]) == ("fs_read_response", "r7", "proj_1")
    assert answer["replyTo"] == "c3"
    assert answer["payload"]["content"] == "hello"
    assert set(answer) == {"type", "requestId", "sessionId", "replyTo", "payload"}
    assert routed.contexts == [RequestContext(project_id="proj_1", request_id="r7", user_id="user-1")]


@pytest.mark.parametrize("reply_to", [{"node": 3, "connection": ["c1"]}, ["a", 1], 7, False])
async def test_an_address_is_copied_whatever_a_relay_has_for_one(routed: RouterRig, reply_to: object) -> None:
    frame = {"type": "fs_write", "requestId": "w1", "sessionId": "proj_1", "replyTo": reply_to}
    for payload in ({"path": "a", "content": ""}, {}):
        answer = await routed.answer(decode_envelope(msgspec.json.encode({**frame, "payload": payload})))
        assert answer["replyTo"] == reply_to


async def test_every_request_gets_exactly_one_answer_whatever_becomes_of_it(routed: RouterRig) -> None:
    async def reading(asked: FsRead) -> FsReadResponse:
        if asked.path == "missing":
            raise FileNotFound("missing does not exist.", path="missing")
        if asked.path == "fault":
            raise RuntimeError
        return read_response()

    routed.reading = reading
    for number, path in enumerate(["a", "missing", "fault", 5, "a"]):
        routed.router.accept(request(payload={"path": path}, request_id=f"r{number}", reply_to=f"c{number}"))
    routed.router.accept(request("git_status", request_id="r5", reply_to="c5"))
    answers = await routed.answers()

    assert sorted((answer["requestId"], answer["replyTo"]) for answer in answers) == [
        (f"r{number}", f"c{number}") for number in range(6)
    ]
    assert {answer["requestId"]: code_of(answer) for answer in answers} == {
        "r0": None,
        "r1": "FILE_NOT_FOUND",
        "r2": "UNKNOWN_ERROR",
        "r3": "INVALID_REQUEST",
        "r4": None,
        "r5": "UNSUPPORTED",
    }


async def test_what_names_no_asker_is_dropped(routed: RouterRig) -> None:
    routed.router.accept(request(request_id=None))
    routed.router.accept(request(reply_to=None))

    assert await routed.answers() == []
    assert routed.reads == []


async def test_reads_are_not_remembered(routed: RouterRig) -> None:
    for _ in range(2):
        assert code_of(await routed.answer(request(request_id="same"))) is None

    assert len(routed.reads) == 2


@pytest.mark.parametrize(
    "fault",
    [
        ValueError("s3cret"),
        KeyError("s3cret"),
        OSError(13, "Permission denied", "/home/s3cret"),
        RecursionError("s3cret"),
        AssertionError("s3cret"),
        MemoryError("s3cret"),
        ExceptionGroup("s3cret", [ValueError("s3cret")]),
        StopAsyncIteration("s3cret"),
        DatabaseFull(Path("/home/s3cret")),
    ],
    ids=lambda fault: type(fault).__name__,
)
@pytest.mark.parametrize("wire_type", ["fs_read", "fs_write"])
async def test_a_handler_that_fails_is_answered_without_a_word_of_what_failed(
    routed: RouterRig, fault: Exception, wire_type: str, caplog: pytest.LogCaptureFixture
) -> None:
    async def failing(_: object) -> FsReadResponse:
        raise fault

    routed.reading = failing
    routed.writing = failing  # type: ignore[assignment]
    routed.router.accept(request(wire_type, {"path": "a", "content": "hello"}))
    async with asyncio.timeout(10):
        await routed.router.finished()

    (frame,) = routed.sent
    assert code_of(msgspec.json.decode(frame)) == "UNKNOWN_ERROR"
    for word in (b"s3cret", b"Traceback", b".py", type(fault).__name__.encode(), b"/home"):
        assert word not in frame
    # The log says what.
    assert any(record.exc_info for record in caplog.records if record.levelno == logging.ERROR)


async def test_a_refusal_of_a_handler_is_answered_in_its_own_words_with_its_details(routed: RouterRig) -> None:
    async def stale(_: FsRead) -> FsReadResponse:
        raise Conflict("a was changed meanwhile. Read it again.", etag="etag-2")

    routed.reading = stale
    answer = await routed.answer(request())

    assert answer["error"] == {
        "code": "CONFLICT",
        "message": "a was changed meanwhile. Read it again.",
        "details": {"etag": "etag-2"},
    }


async def test_an_answer_too_large_for_a_frame_becomes_file_too_large(routed: RouterRig) -> None:
    async def reading(asked: FsRead) -> FsReadResponse:
        size = MAX_FRAME_BYTES - 1 * MIB - (300 if asked.path == "fits" else 0)
        return read_response(b'"' + b"x" * size + b'"')

    routed.reading = reading
    answer = await routed.answer(request())
    assert answer["error"]["code"] == "FILE_TOO_LARGE"
    routed.router.accept(request(payload={"path": "fits"}))
    async with asyncio.timeout(10):
        await routed.router.finished()
    (frame,) = routed.sent
    assert MAX_FRAME_BYTES - 1 * MIB - 300 < len(frame) <= MAX_FRAME_BYTES


# The contract's precedence


async def test_a_missing_project_is_told_before_an_unsupported_type(routed: RouterRig) -> None:
    assert code_of(await routed.answer(request("git_status", session_id="other"))) == "PROJECT_NOT_FOUND"
    assert code_of(await routed.answer(request("git_status"))) == "UNSUPPORTED"


async def test_a_missing_project_is_told_before_a_wrong_payload(routed: RouterRig) -> None:
    wrong = {"path": 5}

    assert code_of(await routed.answer(request(payload=wrong, session_id="other"))) == "PROJECT_NOT_FOUND"
    assert code_of(await routed.answer(request(payload=wrong, session_id=None))) == "PROJECT_NOT_FOUND"
    assert code_of(await routed.answer(request(payload=wrong))) == "INVALID_REQUEST"


async def test_a_project_whose_directory_is_gone_is_told_before_a_wrong_payload(routed: RouterRig) -> None:
    routed.project_fault = ProjectRootGone("The project's directory /src/app is not there any more.")

    assert code_of(await routed.answer(request(payload={"path": 5}))) == "PROJECT_NOT_FOUND"


@pytest.mark.parametrize("wrong", [InvalidRequest.of_field("ref", "No."), OutsideProjectRoot("No.")])
async def test_a_project_whose_directory_is_gone_is_told_before_what_its_handler_finds_wrong(
    routed: RouterRig, wrong: ProtocolError
) -> None:
    async def refusing(_: FsRead | FsWrite) -> NoReturn:
        raise wrong

    routed.reading = routed.writing = refusing
    assert code_of(await routed.answer(request())) == wrong.code
    assert code_of(await routed.answer(write_request())) == wrong.code
    routed.project_fault = ProjectRootGone("The project's directory /src/app is not there any more.")
    assert code_of(await routed.answer(request())) == "PROJECT_NOT_FOUND"
    assert code_of(await routed.answer(write_request())) == "PROJECT_NOT_FOUND"


async def test_an_unknown_type_that_needs_no_project_is_unsupported(routed: RouterRig) -> None:
    assert code_of(await routed.answer(request("attention_list", session_id=None))) == "UNSUPPORTED"


@pytest.mark.parametrize("fault", [OSError(5, "s3cret"), DatabaseFull(Path("/s3cret"))], ids=["disk", "database"])
@pytest.mark.parametrize("wire_type", ["git_status", "fs_read"])
async def test_a_project_that_cannot_be_looked_up_is_still_answered(
    routed: RouterRig, fault: Exception, wire_type: str
) -> None:
    routed.project_fault = fault
    routed.router.accept(request(wire_type, {"path": 5}))
    async with asyncio.timeout(10):
        await routed.router.finished()

    (frame,) = routed.sent
    assert code_of(msgspec.json.decode(frame)) == "UNKNOWN_ERROR"
    assert b"s3cret" not in frame


# Bounds


async def test_no_more_than_eight_reads_run_at_once_also_while_their_answers_wait_to_be_sent(
    routed: RouterRig,
) -> None:
    room = asyncio.Event()

    async def wait_for_room(_: bytes) -> object:
        return await room.wait()

    routed.sending = wait_for_room
    for number in range(20):
        routed.router.accept(request(request_id=f"r{number}"))
    await eventually(lambda: len(routed.reads) == MAX_CONCURRENT_READS)
    await asyncio.sleep(0.05)
    assert len(routed.reads) == MAX_CONCURRENT_READS
    assert routed.router.active == 20
    room.set()

    assert len(await routed.answers()) == 20


async def test_one_request_too_many_is_told_that_the_daemon_is_busy(routed: RouterRig) -> None:
    go_on = asyncio.Event()

    async def reading(_: FsRead) -> FsReadResponse:
        await go_on.wait()
        return read_response()

    routed.reading = reading
    for number in range(MAX_ACTIVE_REQUESTS + 1):
        routed.router.accept(request(request_id=f"r{number}"))
    await eventually(lambda: len(routed.sent) == 1)
    refusal = msgspec.json.decode(routed.sent.pop())
    assert (refusal["requestId"], code_of(refusal)) == (f"r{MAX_ACTIVE_REQUESTS}", "DAEMON_BUSY")
    go_on.set()

    assert {code_of(answer) for answer in await routed.answers()} == {None}


async def test_requests_of_too_many_bytes_at_once_are_told_that_the_daemon_is_busy(
    routed: RouterRig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("host.relay.router.MAX_ACTIVE_BYTES", 2000)
    go_on = asyncio.Event()

    async def reading(_: FsRead) -> FsReadResponse:
        await go_on.wait()
        return read_response()

    routed.reading = reading
    large = {"path": "a" * 1000}
    for number in range(3):
        routed.router.accept(request(payload=large, request_id=f"r{number}"))
    refusal = msgspec.json.decode(routed.sent.pop())
    assert (refusal["requestId"], code_of(refusal)) == ("r2", "DAEMON_BUSY")
    go_on.set()
    assert {code_of(answer) for answer in await routed.answers()} == {None}

    assert code_of(await routed.answer(request(payload=large, request_id="r2"))) is None


async def test_while_stopping_what_runs_is_answered_and_what_comes_is_told_to_come_again(routed: RouterRig) -> None:
    go_on = asyncio.Event()

    async def reading(_: FsRead) -> FsReadResponse:
        await go_on.wait()
        return read_response()

    routed.reading = reading
    routed.router.accept(request(request_id="before"))
    await eventually(lambda: len(routed.reads) == 1)
    routed.router.refuse_new()
    routed.router.accept(request(request_id="after"))
    routed.router.accept(write_request(request_id="after too"))
    await eventually(lambda: len(routed.sent) == 2)
    go_on.set()
    answers = {answer["requestId"]: code_of(answer) for answer in await routed.answers()}

    assert answers == {"after": "DAEMON_BUSY", "after too": "DAEMON_BUSY", "before": None}
    assert routed.writes == []
