"""What one client connection has asked and not yet been answered."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass

from host.protocol.catalog import COMMAND_EXEC
from host.protocol.errors import MachineOffline, ProtocolError, RateLimited, RequestTimeout
from host.protocol.limits import MAX_PENDING_REQUESTS


@dataclass(frozen=True)
class Pending:
    request_id: str
    request_type: str
    session_id: str | None
    machine_key: str
    timer: asyncio.TimerHandle


class PendingRequests:
    """Keeps a timer for each request. ``fail`` is called, once, for those that end without an answer."""

    def __init__(self, fail: Callable[[Pending, ProtocolError], None]) -> None:
        self._fail = fail
        self._pending: dict[str, Pending] = {}
        self._loop = asyncio.get_running_loop()

    def add(
        self, request_id: str, *, request_type: str, session_id: str | None, machine_key: str, timeout_s: float
    ) -> None:
        """A request id that is pending already is a retry: it takes the old one's place.

        Raises RateLimited when too many are pending.
        """
        self._forget(request_id)
        if len(self._pending) >= MAX_PENDING_REQUESTS:
            raise RateLimited(
                f"Over {MAX_PENDING_REQUESTS} requests are waiting for an answer. Send more when some have come."
            )
        timer = self._loop.call_later(timeout_s, self._time_out, request_id)
        self._pending[request_id] = Pending(request_id, request_type, session_id, machine_key, timer)

    def get(self, request_id: str | None) -> Pending | None:
        return self._pending.get(request_id) if request_id is not None else None

    def settle(self, pending: Pending) -> None:
        """The request has its answer."""
        self._forget(pending.request_id)

    def machine_lost(self, machine_key: str) -> None:
        """Fail what the machine has not answered. A command runs on: its own limit decides."""
        for pending in list(self._pending.values()):
            if pending.machine_key == machine_key and pending.request_type != COMMAND_EXEC:
                self._end(pending, MachineOffline())

    def clear(self) -> None:
        """The asker is gone."""
        for request_id in list(self._pending):
            self._forget(request_id)

    def _time_out(self, request_id: str) -> None:
        message = "The machine did not answer in time. Send the request again with the same id to learn what it did."
        self._end(self._pending[request_id], RequestTimeout(message))

    def _end(self, pending: Pending, error: ProtocolError) -> None:
        self._forget(pending.request_id)
        self._fail(pending, error)

    def _forget(self, request_id: str) -> None:
        if pending := self._pending.pop(request_id, None):
            pending.timer.cancel()
