"""What the daemon itself asks of the relay, over whatever connection there is."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final, TypeVar
from uuid import uuid4

import msgspec

from host.protocol.envelope import Envelope, encode_envelope
from host.protocol.errors import ErrorCode
from host.protocol.messages.base import Request, Response, encode_payload
from host.relay.transport import ConnectionLost

ANSWER_TIMEOUT_S: Final = 15.0
_MAX_MESSAGE_CHARS: Final = 500

ResponseT = TypeVar("ResponseT", bound=Response)


class CallRefused(Exception):
    """The relay answered with an error. What is printable of ``message``, its own sentence, may be shown to people."""

    def __init__(self, code: str, message: str) -> None:
        shown = "".join(filter(str.isprintable, message[:_MAX_MESSAGE_CHARS]))
        super().__init__(f"The relay refused: {shown}")
        self.code = code

    @property
    def is_unauthorized(self) -> bool:
        return self.code == ErrorCode.UNAUTHORIZED


class RelayCalls:
    """Requests and their answers on one connection. ``receive`` gets every envelope that arrives first."""

    def __init__(self, send: Callable[[bytes], Awaitable[None]]) -> None:
        self._send = send
        self._waiting: dict[str, asyncio.Future[Envelope]] = {}

    async def call(self, request: Request, response: type[ResponseT]) -> ResponseT:
        """Raises CallRefused, or ConnectionLost when no answer comes that can be read."""
        request_id = str(uuid4())
        answer: asyncio.Future[Envelope] = asyncio.get_running_loop().create_future()
        self._waiting[request_id] = answer
        try:
            await self._send(
                encode_envelope(Envelope(request.wire_type, request_id=request_id, payload=encode_payload(request)))
            )
            async with asyncio.timeout(ANSWER_TIMEOUT_S):
                envelope = await answer
            if envelope.error is not None:
                raise CallRefused(envelope.error.code, envelope.error.message)
            return msgspec.json.decode(envelope.payload, type=response)
        except TimeoutError as exc:
            raise ConnectionLost(f"The relay did not answer within {ANSWER_TIMEOUT_S:g} s.") from exc
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as exc:
            raise ConnectionLost("The relay's answer could not be read. Is it of another version?") from exc
        finally:
            del self._waiting[request_id]

    def receive(self, envelope: Envelope) -> bool:
        """Take the envelope if it answers a call of ours; return whether it did."""
        answer = self._waiting.get(envelope.request_id or "")
        if answer is None or envelope.reply_to is not None:
            return False
        if not answer.done():
            answer.set_result(envelope)
        return True
