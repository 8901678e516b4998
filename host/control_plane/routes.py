"""The control plane's routes, over whatever controls the daemon. Knows no HTTP library."""

import logging
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from http import HTTPStatus
from typing import Final, Protocol

import msgspec

from host.control_plane.messages import AddProjectRequest, MachineLabelRequest, StopRequest
from host.control_plane.replies import UNFORESEEN, Reply, error_reply, reply_to_protocol_error
from host.control_plane.statuses import MachineLabelResponse, ProjectsResponse, ProjectStatus, Status
from host.protocol.errors import ErrorCode, ProtocolError
from host.protocol.messages.base import parse_request

_logger: Final = logging.getLogger(__name__)


class DaemonControl(Protocol):
    """The daemon, as far as the control plane steers it. Errors are ProtocolErrors."""

    async def status(self) -> Status: ...

    def stop(self, *, force: bool) -> None:
        """Begin to stop and return at once; the answer is sent meanwhile."""

    def machine_label(self) -> str: ...

    async def set_machine_label(self, label: str) -> str:
        """Return the label as it was stored. Raises InvalidRequest."""

    def re_register(self) -> None: ...

    async def projects(self) -> list[ProjectStatus]: ...

    async def add_project(self, path: str, name: str | None, *, force: bool) -> ProjectStatus: ...

    async def remove_project(self, project_id: str) -> None: ...


Handler = Callable[[bytes], Awaitable[Reply]]


class Routes:
    """Finds and runs what a method and a path ask for."""

    def __init__(self, control: DaemonControl) -> None:
        self._control = control
        self._table: dict[str, dict[str, Handler]] = {
            "/health": {"GET": self._health},
            "/status": {"GET": self._status},
            "/stop": {"POST": self._stop},
            "/machine-label": {"GET": self._machine_label, "POST": self._set_machine_label},
            "/re-register": {"POST": self._re_register},
            "/projects": {"GET": self._projects, "POST": self._add_project},
        }

    async def answer(self, method: str, path: str, body: bytes) -> Reply:
        """Never raises but when cancelled: every error is a reply in the contract's shape."""
        methods = self._methods_at(path)
        if not methods:
            return error_reply(HTTPStatus.NOT_FOUND, ErrorCode.UNSUPPORTED, "The control plane has no such route.")
        if method not in methods:
            return _method_not_allowed(methods)
        try:
            return await methods[method](body)
        except ProtocolError as exc:
            return reply_to_protocol_error(exc)
        except Exception:
            _logger.exception("%s %s failed.", method, path)
            return UNFORESEEN

    def _methods_at(self, path: str) -> Mapping[str, Handler]:
        _, _, project_id = path.partition("/projects/")
        if path == f"/projects/{project_id}" and project_id and "/" not in project_id:
            return {"DELETE": lambda _: self._remove_project(project_id)}
        return self._table.get(path, {})

    async def _health(self, _body: bytes) -> Reply:
        return Reply(HTTPStatus.OK)

    async def _status(self, _body: bytes) -> Reply:
        return _ok(await self._control.status())

    async def _stop(self, body: bytes) -> Reply:
        self._control.stop(force=parse_request(StopRequest, body or b"{}").force)
        return Reply(HTTPStatus.ACCEPTED)

    async def _machine_label(self, _body: bytes) -> Reply:
        return _ok(MachineLabelResponse(label=self._control.machine_label()))

    async def _set_machine_label(self, body: bytes) -> Reply:
        request = parse_request(MachineLabelRequest, body)
        return _ok(MachineLabelResponse(label=await self._control.set_machine_label(request.label)))

    async def _re_register(self, _body: bytes) -> Reply:
        self._control.re_register()
        return Reply(HTTPStatus.ACCEPTED)

    async def _projects(self, _body: bytes) -> Reply:
        return _ok(ProjectsResponse(projects=await self._control.projects()))

    async def _add_project(self, body: bytes) -> Reply:
        request = parse_request(AddProjectRequest, body)
        return _ok(await self._control.add_project(request.path, request.name, force=request.force))

    async def _remove_project(self, project_id: str) -> Reply:
        await self._control.remove_project(project_id)
        return Reply(HTTPStatus.NO_CONTENT)


def _ok(message: msgspec.Struct) -> Reply:
    return Reply(HTTPStatus.OK, msgspec.json.encode(message))


def _method_not_allowed(methods: Mapping[str, Handler]) -> Reply:
    allowed = ", ".join(sorted(methods))
    reply = error_reply(
        HTTPStatus.METHOD_NOT_ALLOWED, ErrorCode.UNSUPPORTED, f"The control plane takes only {allowed} here."
    )
    return replace(reply, headers={"Allow": allowed})
