"""A daemon that records what it is told, and bare HTTP over bare sockets."""

import asyncio
import json
from dataclasses import dataclass, field
from typing import Any

from host.control_plane.statuses import (
    Activity,
    AgentStatus,
    Degraded,
    HostCapabilities,
    ProjectStatus,
    RelayStatus,
    Status,
    Storage,
)
from host.protocol.errors import InvalidRequest, ProjectNesting, ProjectNotFound

PROJECT = ProjectStatus(project_id="proj_1", name="app", path="/src/app", watcher_running=True, last_fs_seq=7)


@dataclass
class RecordingDaemon:
    label: str = "desk"
    calls: list[tuple[Any, ...]] = field(default_factory=list)
    fault: Exception | None = None

    async def status(self) -> Status:
        if self.fault is not None:
            raise self.fault
        return Status(
            version="0.1.0",
            machine_key="m",
            machine_label=self.label,
            pid=1,
            started_at="2026-02-12T10:00:00.123Z",
            logged_in=False,
            relay=RelayStatus(url="wss://relay.example", state="disconnected", connected=False),
            capabilities=HostCapabilities(has_git=True, has_claude=False, claude_store_found=False, warnings=[]),
            agents=[AgentStatus(name="claude", version="1.0", signed_in=True, running=1, waiting=0)],
            projects=[PROJECT],
            stopping=False,
            activity=Activity(requests=2, commands=1, turns=1, prompts=1, waiting_sessions=0, outbox_bytes=0),
            storage=Storage(database_bytes=4096, log_bytes=0),
            degraded=[Degraded(part="relay", reason="Nobody is signed in.")],
        )

    def stop(self, *, force: bool) -> None:
        self.calls.append(("stop", force))

    def machine_label(self) -> str:
        return self.label

    async def set_machine_label(self, label: str) -> str:
        if label == "\n":
            raise InvalidRequest.of_field("label", "It must be one line.")
        self.label = label.strip()
        return self.label

    def re_register(self) -> None:
        self.calls.append(("re_register",))

    async def projects(self) -> list[ProjectStatus]:
        return [PROJECT]

    async def add_project(self, path: str, name: str | None, *, force: bool) -> ProjectStatus:
        self.calls.append(("add", path, name))
        if path == "/src/app/inner":
            raise ProjectNesting("The directory lies in the project app. Add another one.")
        return PROJECT

    async def remove_project(self, project_id: str) -> None:
        self.calls.append(("remove", project_id))
        if project_id != PROJECT.project_id:
            raise ProjectNotFound


@dataclass(frozen=True)
class HttpResult:
    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


def http_request(
    method: str, path: str, port: int, body: bytes | None = None, *, host: str | None = None, **headers: str
) -> bytes:
    """A request's bytes. Keyword arguments are headers, with ``_`` for ``-``."""
    lines = [f"{method} {path} HTTP/1.1", f"Host: {host or f'127.0.0.1:{port}'}"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    if body is not None:
        lines.append(f"Content-Length: {len(body)}")
    return "\r\n".join([*lines, "", ""]).encode() + (body or b"")


async def read_result(reader: asyncio.StreamReader) -> HttpResult:
    status_line, *lines = (await reader.readuntil(b"\r\n\r\n")).decode().strip().split("\r\n")
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    body = await reader.readexactly(int(headers.get("content-length", "0")))
    return HttpResult(int(status_line.split()[1]), headers, body)


async def exchange(port: int, request: bytes) -> HttpResult:
    """Send bytes on a connection of their own and return the first answer."""
    async with asyncio.timeout(10):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        try:
            writer.write(request)
            return await read_result(reader)
        finally:
            writer.close()
