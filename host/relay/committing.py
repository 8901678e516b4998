"""A request whose effect is a row: the effect and the answer are stored in one transaction."""

import sqlite3
from collections.abc import Callable

from host.core.requests import EffectT, ResponseT
from host.db.errors import DatabaseError
from host.db.request_log import RequestLog
from host.protocol.envelope import Envelope, encode_envelope
from host.protocol.errors import FileAccessFailed
from host.protocol.messages.base import encode_payload


class AnswerCommit:
    """Implements host.core.requests.Commit for one request. ``answer`` is what was committed, None before."""

    def __init__(self, log: RequestLog, user_id: str, request_id: str, response_type: str) -> None:
        self._log = log
        self._key = (user_id, request_id)
        self._response_type = response_type
        self.answer: Envelope | None = None

    async def __call__(
        self, job: Callable[[sqlite3.Connection], tuple[ResponseT, EffectT]]
    ) -> tuple[ResponseT, EffectT]:
        def change(connection: sqlite3.Connection) -> tuple[bytes, tuple[Envelope, tuple[ResponseT, EffectT]]]:
            result = job(connection)
            answer = Envelope(self._response_type, payload=encode_payload(result[0]))
            return encode_envelope(answer), (answer, result)

        try:
            self.answer, result = await self._log.finish_with(*self._key, change)
        except DatabaseError as exc:
            raise not_recorded() from exc
        return result


def not_recorded() -> FileAccessFailed:
    """Nothing was done, because it could not be written down."""
    return FileAccessFailed(
        "The host could not write the request down, so it was not carried out. Is its disk full? On the host, "
        "pocketcoder doctor says what is wrong.",
        reason="noSpace",
    )
