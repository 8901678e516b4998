"""A router over a real database, with handlers that do what the test says and frames that are kept."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec

from host.core.requests import RequestContext, RouteTable
from host.db.database import Database
from host.db.request_log import RequestLog
from host.protocol.envelope import Envelope
from host.protocol.errors import ProjectNotFound
from host.protocol.messages.files import FsRead, FsReadResponse, FsWrite, FsWriteResponse
from host.relay.router import RequestRouter

ETAG = "etag-1"


def read_response(content: bytes = b'"hello"') -> FsReadResponse:
    return FsReadResponse(
        path="a",
        content=msgspec.Raw(content),
        encoding="utf-8",
        size=5,
        modified_at="2026-02-12T10:00:00.123Z",
        etag=ETAG,
        offset=0,
        eof=True,
    )


def write_response() -> FsWriteResponse:
    return FsWriteResponse(path="a", size=5, modified_at="2026-02-12T10:00:00.123Z", etag=ETAG)


async def _read_at_once(_: FsRead) -> FsReadResponse:
    return read_response()


async def _write_at_once(_: FsWrite) -> FsWriteResponse:
    return write_response()


@dataclass
class RouterRig:
    database: Database
    reading: Callable[[FsRead], Awaitable[FsReadResponse]] = _read_at_once
    writing: Callable[[FsWrite], Awaitable[FsWriteResponse]] = _write_at_once
    sending: Callable[[bytes], Awaitable[object]] | None = None
    user_id: str = "user-1"
    projects: set[str] = field(default_factory=lambda: {"proj_1"})
    project_fault: Exception | None = None
    sent: list[bytes] = field(default_factory=list)
    reads: list[FsRead] = field(default_factory=list)
    writes: list[FsWrite] = field(default_factory=list)
    contexts: list[RequestContext] = field(default_factory=list)
    router: RequestRouter = field(init=False)
    log: RequestLog = field(init=False)

    def __post_init__(self) -> None:
        table = RouteTable()
        table.add(FsRead, self._read)
        table.add(FsWrite, self._write)
        self.log = RequestLog(self.database)
        self.router = RequestRouter(table, projects=self, log=self.log, user_id=lambda: self.user_id, outbox=self)

    async def require_root(self, project_id: str) -> None:
        if self.project_fault is not None:
            raise self.project_fault
        if project_id not in self.projects:
            raise ProjectNotFound

    async def answers(self) -> list[dict[str, Any]]:
        """Wait until everything is answered; return what was sent since the last time."""
        async with asyncio.timeout(10):
            await self.router.finished()
        sent, self.sent = self.sent, []
        return [msgspec.json.decode(frame) for frame in sent]

    async def answer(self, request: Envelope) -> dict[str, Any]:
        """The one answer to a request."""
        self.router.accept(request)
        (answer,) = await self.answers()
        return answer

    async def _read(self, request: FsRead, context: RequestContext) -> FsReadResponse:
        self.reads.append(request)
        self.contexts.append(context)
        return await self.reading(request)

    async def _write(self, request: FsWrite, context: RequestContext) -> FsWriteResponse:
        self.writes.append(request)
        self.contexts.append(context)
        return await self.writing(request)

    def offer(self, frame: bytes) -> bool:
        self.sent.append(frame)
        return True

    async def put(self, frame: bytes, *, keep: bool = False) -> bool:
        if self.sending is not None:
            await self.sending(frame)
        return self.offer(frame)


@asynccontextmanager
async def router_rig(path: Path) -> AsyncIterator[RouterRig]:
    """Closes its database at the end of the block, with the router's work cut off as at a crash."""
    database = await Database.open(path)
    rig = RouterRig(database)
    try:
        yield rig
    finally:
        await rig.router.cancel()
        await database.close()


def request(
    wire_type: str = "fs_read",
    payload: object = None,
    *,
    request_id: str | None = "r1",
    reply_to: str | None = "c1",
    session_id: str | None = "proj_1",
) -> Envelope:
    content = {"path": "a"} if payload is None else payload
    raw = msgspec.Raw(msgspec.json.encode(content))
    return Envelope(wire_type, request_id=request_id, session_id=session_id, reply_to=reply_to, payload=raw)


def write_request(content: str = "hello", *, request_id: str = "w1", reply_to: str = "c1") -> Envelope:
    payload = {"path": "a", "content": content}
    return request("fs_write", payload, request_id=request_id, reply_to=reply_to)


def code_of(answer: dict[str, Any]) -> str | None:
    code: str | None = answer.get("error", {}).get("code")
    return code
