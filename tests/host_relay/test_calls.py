import asyncio

import msgspec
import pytest

from host.protocol.envelope import Envelope, decode_envelope
from host.protocol.errors import WireError
from host.protocol.messages.auth import TokenRefresh, Tokens
from host.protocol.messages.base import encode_payload
from host.relay.calls import CallRefused, RelayCalls
from host.relay.transport import ConnectionLost
from tests.support.host import tokens_for

ASKED = TokenRefresh(refresh_token="refresh-1")
TOKENS = tokens_for()


class Line:
    """Keeps what was sent, and lets the test answer it."""

    def __init__(self) -> None:
        self.sent: asyncio.Queue[Envelope] = asyncio.Queue()
        self.calls = RelayCalls(self._send)

    async def _send(self, frame: bytes) -> None:
        self.sent.put_nowait(decode_envelope(frame))


async def test_a_call_returns_the_answer_that_carries_its_id() -> None:
    line = Line()
    calls = [asyncio.create_task(line.calls.call(ASKED, Tokens)) for _ in range(2)]
    first, second = [await line.sent.get() for _ in range(2)]
    assert first.type == "token_refresh"
    assert first.request_id != second.request_id
    for request, access in ((second, "for the second"), (first, "for the first")):
        payload = encode_payload(msgspec.structs.replace(TOKENS, access_token=access))
        assert line.calls.receive(Envelope("token_refresh_response", request_id=request.request_id, payload=payload))

    assert [answer.access_token for answer in await asyncio.gather(*calls)] == ["for the first", "for the second"]


async def test_an_error_is_raised_with_its_code() -> None:
    line = Line()
    call = asyncio.create_task(line.calls.call(ASKED, Tokens))
    request = await line.sent.get()
    line.calls.receive(Envelope("error", request_id=request.request_id, error=WireError("UNAUTHORIZED", "No.")))

    with pytest.raises(CallRefused) as raised:
        await call
    assert raised.value.is_unauthorized


def test_what_the_relay_says_is_shown_in_part_and_cannot_steer_a_terminal() -> None:
    shown = str(CallRefused("UNKNOWN_ERROR", "No \x1b[2J\n" + "x" * 10_000))

    assert shown.startswith("The relay refused: No [2Jxxx")
    assert shown.isprintable()
    assert len(shown) < 1000


@pytest.mark.parametrize("payload", [b"{}", b"[1]", b"5", b'{"accessToken":5}'])
async def test_an_answer_that_cannot_be_read_is_a_lost_connection(payload: bytes) -> None:
    line = Line()
    call = asyncio.create_task(line.calls.call(ASKED, Tokens))
    request = await line.sent.get()
    line.calls.receive(Envelope("x", request_id=request.request_id, payload=msgspec.Raw(payload)))

    with pytest.raises(ConnectionLost, match="could not be read"):
        await call


async def test_no_answer_in_time_is_a_lost_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("host.relay.calls.ANSWER_TIMEOUT_S", 0.01)

    with pytest.raises(ConnectionLost, match="did not answer"):
        await Line().calls.call(ASKED, Tokens)


async def test_what_answers_no_call_is_not_taken() -> None:
    line = Line()
    call = asyncio.create_task(line.calls.call(ASKED, Tokens))
    request = await line.sent.get()

    assert not line.calls.receive(Envelope("fs_read"))
    assert not line.calls.receive(Envelope("fs_read", request_id="another"))
    # A client's request whose id happens to be the same is still a request.
    assert not line.calls.receive(Envelope("fs_read", request_id=request.request_id, reply_to="c1"))
    assert line.calls.receive(
        Envelope("token_refresh_response", request_id=request.request_id, payload=encode_payload(TOKENS))
    )
    await call
    assert not line.calls.receive(Envelope("token_refresh_response", request_id=request.request_id))
