"""What a request streams, and an end that is an event: who gets it, and that it is not lost."""

import asyncio
from typing import Any, ClassVar

import msgspec
import pytest

from host.protocol.envelope import Envelope
from host.protocol.messages.base import Event
from host.relay.outbox import Outbox
from host.relay.running_request import RunningRequest


class Told(Event):
    wire_type: ClassVar[str] = "told"
    number: int


END = Envelope("command_exit", payload=msgspec.Raw(b'{"seq":9}'))


@pytest.fixture
def outbox() -> Outbox:
    outbox = Outbox()
    outbox.open()
    return outbox


def running(outbox: Outbox, *askers: str) -> RunningRequest:
    first, *others = [
        Envelope("command_exec", request_id="r1", session_id="proj_1", reply_to=asker) for asker in askers
    ]
    request = RunningRequest(first, outbox, b"digest")
    for other in others:
        request.join(other, b"digest")
    return request


async def sent(outbox: Outbox) -> list[dict[str, Any]]:
    frames = []
    while outbox.queued_bytes:
        frames.append(msgspec.json.decode(await outbox.take()))
    return frames


async def test_an_event_names_its_asker_and_project_and_no_request(outbox: Outbox) -> None:
    running(outbox, "c1").emit(Told(number=1))
    (event,) = await sent(outbox)
    assert event == {"type": "told", "sessionId": "proj_1", "replyTo": "c1", "payload": {"number": 1}}


async def test_an_event_for_several_askers_is_one_frame(outbox: Outbox) -> None:
    running(outbox, "c1", "c2", "c1").emit(Told(number=1))
    (event,) = await sent(outbox)
    assert event["replyTo"] == ["c1", "c2"]


async def test_an_end_that_is_an_event_is_one_frame_too(outbox: Outbox) -> None:
    await running(outbox, "c1", "c2").answer(END)
    (end,) = await sent(outbox)
    assert (end["requestId"], end["sessionId"], end["replyTo"]) == ("r1", "proj_1", ["c1", "c2"])


async def test_a_remembered_end_goes_to_its_askers_alone(outbox: Outbox) -> None:
    await running(outbox, "c1", "c2").answer(END, is_first=False)
    ends = await sent(outbox)
    assert [end["replyTo"] for end in ends] == ["c1", "c2"]
    assert all("sessionId" not in end for end in ends)


async def test_what_follows_an_answer_carries_the_requests_id_so_that_askers_are_spared(outbox: Outbox) -> None:
    request = running(outbox, "c1")
    request.emit(Told(number=1), after_answer=True)
    await request.answer(Envelope("error"))
    answer, event = await sent(outbox)
    assert (answer["type"], answer["requestId"]) == ("error", "r1")
    assert (event["type"], event["requestId"], event["replyTo"]) == ("told", "r1", "c1")


async def test_an_end_waits_for_the_next_link_and_events_do_not(outbox: Outbox) -> None:
    outbox.close()
    request = running(outbox, "c1")
    request.emit(Told(number=1))
    await request.answer(END)
    await running(outbox, "c2").answer(Envelope("fs_write_response"))
    assert outbox.queued_bytes == 0
    outbox.open()
    assert [frame["type"] for frame in await sent(outbox)] == ["command_exit"]


async def test_an_end_survives_a_link_that_breaks_before_or_while_it_is_sent(outbox: Outbox) -> None:
    await running(outbox, "c1").answer(END)
    outbox.close()
    outbox.open()
    assert msgspec.json.decode(await outbox.take())["type"] == "command_exit"
    # Taken, but the connection broke.
    outbox.close()
    outbox.open()
    assert msgspec.json.decode(await outbox.take())["type"] == "command_exit"
    taking = asyncio.create_task(outbox.take())
    await asyncio.sleep(0)
    outbox.close()
    outbox.open()
    assert outbox.queued_bytes == 0
    taking.cancel()
