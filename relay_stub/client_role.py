"""A client's connection: its subscriptions, and what it asked and waits for."""

import logging
from dataclasses import dataclass, field
from typing import ClassVar

from host.core.clock import now_rfc3339
from host.protocol.envelope import Envelope, askers_of
from host.protocol.errors import ProjectNotFound, ProtocolError, RateLimited
from host.protocol.limits import MAX_CLIENT_FRAME_BYTES, MAX_JOINED_PROJECTS, MAX_LABEL_CHARS
from host.protocol.messages.auth import WEB_CLIENT_ID, ClientId
from host.protocol.messages.base import parse_request
from host.protocol.messages.system import (
    ClientHello,
    ClientWelcome,
    Device,
    Done,
    MachinesList,
    MachinesListResponse,
    ProjectJoin,
    ProjectLeave,
    ProjectsList,
    ProjectsListResponse,
    SignedInUser,
)
from relay_stub import directory, routing, subjects
from relay_stub.connection import Connection
from relay_stub.oauth.tokens import AccessClaims
from relay_stub.pending import Pending, PendingRequests
from relay_stub.ports import Sink, Unsubscribe
from relay_stub.version import relay_version

logger = logging.getLogger(__name__)


@dataclass
class ClientRole:
    hello_type: ClassVar[str] = ClientHello.wire_type
    audience: ClassVar[ClientId] = WEB_CLIENT_ID

    connection: Connection
    _user_id: str = ""
    _device: str | None = None
    _pending: PendingRequests = field(init=False)
    _subscriptions: list[Unsubscribe] = field(default_factory=list)
    _joined: dict[str, Unsubscribe] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._pending = PendingRequests(self._fail)

    def hello(self, envelope: Envelope, claims: AccessClaims) -> str | None:
        hello = parse_request(ClientHello, envelope.payload)
        self._device = _name_of(hello.device)
        self._user_id = claims.user_id
        if not self._subscriptions:
            self._subscribe(subjects.client(self._user_id, self.connection.id), self._answered)
            self._subscribe(subjects.clients_of(self._user_id), self._told)
        relay = self.connection.relay
        answer = ClientWelcome(
            connection_id=self.connection.id,
            user=SignedInUser(claims.user_id, claims.login),
            server_time=now_rfc3339(),
            relay_version=relay_version(),
            limits=relay.config.limits(MAX_CLIENT_FRAME_BYTES),
            machines=directory.machines(relay, self._user_id),
        )
        self.connection.answer(envelope, ClientWelcome.wire_type, answer)
        return self._device

    def receive(self, envelope: Envelope) -> None:
        request_id = routing.check_request(envelope)
        match envelope.type:
            case MachinesList.wire_type:
                machines = directory.machines(self.connection.relay, self._user_id)
                self._respond(envelope, MachinesListResponse(machines=machines))
            case ProjectsList.wire_type:
                request = parse_request(ProjectsList, envelope.payload)
                projects = directory.projects(self.connection.relay, self._user_id, request.machine_key)
                self._respond(envelope, ProjectsListResponse(projects=projects))
            case ProjectJoin.wire_type | ProjectLeave.wire_type:
                self._join_or_leave(envelope)
            case _:
                self._forward(envelope, request_id)

    def closed(self) -> None:
        self._pending.clear()
        for unsubscribe in (*self._subscriptions, *self._joined.values()):
            unsubscribe()

    def _forward(self, envelope: Envelope, request_id: str) -> None:
        relay, user_id = self.connection.relay, self._user_id
        machine_key = routing.machine_of(
            envelope,
            machine_of_project=self._machine_of_project,
            is_known_machine=lambda key: relay.registrations.machine(user_id, key) is not None,
            is_connected=lambda key: relay.presence.is_connected(user_id, key),
        )
        self._pending.add(
            request_id,
            request_type=envelope.type,
            session_id=envelope.session_id,
            machine_key=machine_key,
            timeout_s=routing.timeout_s(envelope, default_s=relay.config.request_timeout_s),
        )
        self._note("forwarded", envelope.type, request_id, machine_key)
        stamped = routing.stamp(envelope, connection_id=self.connection.id, device=self._device)
        relay.bus.publish(subjects.machine(user_id, machine_key), stamped)

    def _machine_of_project(self, project_id: str) -> str | None:
        return self.connection.relay.registrations.machine_of_project(self._user_id, project_id)

    def _join_or_leave(self, envelope: Envelope) -> None:
        project_id = routing.project_of(envelope)
        if envelope.type == ProjectLeave.wire_type and project_id in self._joined:
            self._joined.pop(project_id)()  # Also a project that was removed on its machine since.
        elif routing.owner_of_project(envelope, self._machine_of_project) is None:
            raise ProjectNotFound
        elif envelope.type == ProjectJoin.wire_type and project_id not in self._joined:
            if len(self._joined) >= MAX_JOINED_PROJECTS:
                raise RateLimited(f"Over {MAX_JOINED_PROJECTS} projects are joined. Leave some first.")
            subject = subjects.project(self._user_id, project_id)
            self._joined[project_id] = self.connection.relay.bus.subscribe(subject, self._happened)
        self._respond(envelope, Done())

    def _respond(self, request: Envelope, response: Done | MachinesListResponse | ProjectsListResponse) -> None:
        self.connection.answer(request, f"{request.type}_response", response)

    def _subscribe(self, subject: str, sink: Sink) -> None:
        self._subscriptions.append(self.connection.relay.bus.subscribe(subject, sink))

    def _answered(self, envelope: Envelope) -> None:
        """Something a daemon sent to this connection alone: an answer, or a streamed event of a request."""
        pending = self._pending.get(envelope.request_id)
        if pending is not None:
            if routing.answers(envelope, request_type=pending.request_type, machine_key=pending.machine_key):
                self._pending.settle(pending)
                outcome = "answered" if envelope.error is None else f"answered with {envelope.error.code!r}"
                self._note(outcome, pending.request_type, pending.request_id, pending.machine_key)
                self._send(
                    routing.answer_for_client(envelope, request_id=pending.request_id, session_id=pending.session_id)
                )
        elif envelope.request_id is None:
            self._send(routing.for_client(envelope))

    def _happened(self, envelope: Envelope) -> None:
        """An event for several connections; the asker of a streamed one has it already."""
        if self.connection.id not in askers_of(envelope):
            self._send(routing.for_client(envelope))

    def _told(self, envelope: Envelope) -> None:
        """Something for all the user's clients."""
        if envelope.type == routing.MACHINE_LOST and envelope.machine_key is not None:
            self._pending.machine_lost(envelope.machine_key)
        else:
            self._happened(envelope)

    def _send(self, envelope: Envelope) -> None:
        self.connection.socket.send(envelope)

    def _fail(self, pending: Pending, error: ProtocolError) -> None:
        self._note(f"given up: {error.code}", pending.request_type, pending.request_id, pending.machine_key)
        self.connection.refuse(pending.request_id, pending.session_id, error)

    def _note(self, what: str, wire_type: str, request_id: str, machine_key: str) -> None:
        """Whose request went which way; never what it says. Peers' words are escaped, so that none forges a line."""
        logger.debug(
            "%.64r [%s] of user %s to machine %.128r: %.64s", wire_type, request_id, self._user_id, machine_key, what
        )


def _name_of(device: Device | None) -> str | None:
    return None if device is None or device.name is None else device.name[:MAX_LABEL_CHARS]
