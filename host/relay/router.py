"""From an envelope to its handler and back; the one place where errors become wire errors.

Handlers run beside the link, not inside it: a request goes on when the connection breaks,
and its answer goes out on whatever connection there is then.
"""

import asyncio
import dataclasses
import logging
import time
from collections.abc import Awaitable, Callable
from typing import Protocol

from msgspec.structs import replace

from host.core.logging import request_id
from host.core.requests import RequestContext, Route, RouteTable
from host.core.tasks import TaskSet
from host.db.errors import DatabaseError
from host.db.request_log import Finished, RequestLog, Running, body_hash
from host.protocol.catalog import needs_project
from host.protocol.envelope import Envelope, decode_envelope, encode_envelope
from host.protocol.errors import (
    DaemonBusy,
    FileTooLarge,
    InvalidRequest,
    OutcomeUnknown,
    OutsideProjectRoot,
    ProtocolError,
    Unsupported,
    unforeseen,
)
from host.protocol.limits import (
    MAX_ACTIVE_BYTES,
    MAX_ACTIVE_REQUESTS,
    MAX_ANSWER_BYTES,
    MAX_CONCURRENT_READS,
    MAX_PATH_BYTES,
)
from host.protocol.messages.base import Event, Request, encode_payload, parse_request
from host.relay.committing import AnswerCommit, not_recorded
from host.relay.running_request import Answers, RunningRequest

logger = logging.getLogger(__name__)


class Projects(Protocol):
    async def require_root(self, project_id: str) -> None:
        """Raises ProjectNotFound, or ProjectRootGone when its directory is not there."""


class RequestRouter:
    """Answers requests; each exactly once to each address it came from.

    A request that changes something is written down before its handler runs. The same one
    sent again joins it while it runs, and gets the remembered answer afterwards.
    """

    def __init__(
        self,
        table: RouteTable,
        *,
        projects: Projects,
        log: RequestLog,
        user_id: Callable[[], str],
        outbox: Answers,
    ) -> None:
        self._table = table
        self._projects = projects
        self._log = log
        self._user_id = user_id
        self._outbox = outbox
        self._tasks = TaskSet()
        self._reads = asyncio.Semaphore(MAX_CONCURRENT_READS)
        self._running: dict[tuple[str, str], RunningRequest] = {}
        self._active_bytes = 0
        self._is_stopping = False

    @property
    def active(self) -> int:
        """How many requests are being worked on."""
        return len(self._tasks)

    def accept(self, request: Envelope) -> None:
        """Take a request on and return at once. What names no asker can't be answered and is dropped."""
        if request.request_id is None or request.reply_to is None:
            logger.debug("Dropped a message of type %r that is no request", request.type)
        elif self._is_stopping:
            self._refuse(request, DaemonBusy("The daemon is stopping. Send the request again when it is back."))
        elif len(self._tasks) >= MAX_ACTIVE_REQUESTS or self._active_bytes >= MAX_ACTIVE_BYTES:
            self._refuse(request, DaemonBusy("The daemon has too much to do at once. Try again in a moment."))
        else:
            self._active_bytes += _size_bytes(request)
            self._tasks.spawn(self._work_on(request), name=request.type)

    def refuse_new(self) -> None:
        """The daemon is stopping: what runs goes on, what comes is told to come again."""
        self._is_stopping = True

    async def finished(self) -> None:
        """Wait until nothing runs any more."""
        await self._tasks.drain()

    async def cancel(self) -> None:
        """Cut off what still runs. It stays unfinished in the log: its outcome is unknown."""
        if self._tasks:
            logger.warning("%d requests did not end in time and were cut off", len(self._tasks))
        await self._tasks.cancel()

    def _refuse(self, request: Envelope, error: ProtocolError) -> None:
        logger.debug("%s [%s] was refused: %s", request.type, request.request_id, error.code)
        # Where not even a refusal can be queued, the relay's time-out tells the asker.
        refusal = replace(_failure(error), request_id=request.request_id, session_id=request.session_id)
        self._outbox.offer(encode_envelope(replace(refusal, reply_to=request.reply_to)))

    async def _work_on(self, request: Envelope) -> None:
        # Of this task alone.
        request_id.set(request.request_id or "")
        began_s = time.monotonic()
        try:
            await self._answer(request)
            logger.debug("%s was answered after %.0f ms", request.type, (time.monotonic() - began_s) * 1000)
        finally:
            self._active_bytes -= _size_bytes(request)

    async def _answer(self, request: Envelope) -> None:
        running = RunningRequest(request, self._outbox)
        try:
            route = await self._route(request)
            body = await self._parse(request, route)
        except ProtocolError as exc:
            await running.answer(_failure(exc))
        except Exception:
            logger.exception("A request of type %s could not be looked at", request.type)
            await running.answer(Envelope("error", error=unforeseen()))
        else:
            if route.kind.changes:
                await self._answer_once(request, route, body)
            else:
                async with self._reads:
                    await running.answer(await self._run(running, request, route, body))

    async def _route(self, request: Envelope) -> Route:
        route = self._table.find(request.type)
        if route is not None:
            return route
        await self._require_project(request.type, request.session_id)
        raise Unsupported("This daemon does not offer this type of message. It may have to be upgraded.")

    async def _parse(self, request: Envelope, route: Route) -> Request:
        try:
            return parse_request(route.kind.request, request.payload)
        except InvalidRequest:
            # The contract's precedence: a project that is gone is told before a wrong payload.
            await self._require_project(request.type, request.session_id)
            raise

    async def _require_project(self, wire_type: str, project_id: str | None) -> None:
        if needs_project(wire_type):
            await self._projects.require_root(project_id or "")

    async def _run(self, running: RunningRequest, request: Envelope, route: Route, body: Request) -> Envelope:
        """The terminal message, whatever happens; without ids and addresses."""
        try:
            return await self._call(route, body, self._context(running, self._user_id(), request))
        except ProtocolError as exc:
            return _failure(exc)
        except Exception:
            logger.exception("A request of type %s failed", request.type)
            return Envelope("error", error=unforeseen())

    def _context(self, running: RunningRequest, user_id: str, request: Envelope) -> RequestContext:
        device = request.from_.device_name if request.from_ else None
        return RequestContext(request.session_id or "", request.request_id or "", user_id, device, running.emit)

    async def _call(self, route: Route, body: Request, context: RequestContext) -> Envelope:
        try:
            response = await route.handler(body, context)
        except (InvalidRequest, OutsideProjectRoot):
            # As above: a handler may look at what a ref or a path says before it looks at the project.
            await self._require_project(route.kind.name, context.project_id)
            raise
        wire_type = response.wire_type if isinstance(response, Event) else route.kind.response_type
        answer = Envelope(wire_type, payload=encode_payload(response))
        if _size_bytes(answer) > MAX_ANSWER_BYTES:
            raise FileTooLarge("The answer is larger than one message can be. Ask for a part of it.")
        return answer

    async def _answer_once(self, request: Envelope, route: Route, body: Request) -> None:
        key = (self._user_id(), request.request_id or "")
        try:
            digest = body_hash(request.type, request.session_id, request.payload)
            if (running := self._running.get(key)) is not None:
                running.join(request, digest)
                return
        except ProtocolError as exc:
            await RunningRequest(request, self._outbox).answer(_failure(exc))
            return
        # Entered before anything is awaited, so that a second copy always finds the first.
        running = self._running[key] = RunningRequest(request, self._outbox, digest)
        try:
            remembered = await self._remembered(key, digest, request, body)
            answer = remembered or await self._change(running, key, request, route, body)
        finally:
            del self._running[key]
        await running.answer(answer, is_first=remembered is None)

    async def _remembered(
        self, key: tuple[str, str], digest: bytes, request: Envelope, body: Request
    ) -> Envelope | None:
        """The answer of an earlier run; None when there was none and the request is now written down."""
        try:
            begun = await self._log.begin(*key, digest, request.type, request.session_id or "", _path_in(body))
        except ProtocolError as exc:
            return _failure(exc)
        except DatabaseError as exc:
            logger.error("A request could not be written down. %s", exc.message)
            return _failure(not_recorded())
        except Exception:
            logger.exception("A request could not be written down")
            return Envelope("error", error=unforeseen())
        if isinstance(begun, Finished):
            return decode_envelope(begun.answer)
        # Running, but not here: its end could not be stored.
        return _failure(OutcomeUnknown()) if isinstance(begun, Running) else None

    async def _change(
        self, running: RunningRequest, key: tuple[str, str], request: Envelope, route: Route, body: Request
    ) -> Envelope:
        commit = AnswerCommit(self._log, *key, route.kind.response_type)
        context = dataclasses.replace(self._context(running, key[0], request), commit=commit)
        try:
            answer = await self._call(route, body, context)
        except ProtocolError as exc:
            answer = _failure(exc)
            if not exc.is_outcome and commit.answer is None:
                await self._stored(self._log.forget(*key))
                return answer
        except Exception:
            logger.exception("A request of type %s failed", request.type)
            answer = _failure(OutcomeUnknown())
        if commit.answer is not None:
            # It was stored with the effect, and stands whatever happened since.
            return commit.answer
        await self._stored(self._log.finish(*key, encode_envelope(answer)))
        return answer

    async def _stored(self, change: Awaitable[None]) -> None:
        """Record an end. When that fails the asker still hears what is true now; a retry hears "unknown"."""
        try:
            await change
        except Exception:
            logger.exception("The end of a request could not be stored")


def _size_bytes(message: Envelope) -> int:
    return memoryview(message.payload).nbytes


def _failure(error: ProtocolError) -> Envelope:
    return Envelope("error", error=error.to_wire())


def _path_in(body: Request) -> str | None:
    path = getattr(body, "path", None)
    # A longer one will be refused, and is not worth writing down.
    return path if isinstance(path, str) and len(path) <= MAX_PATH_BYTES else None
