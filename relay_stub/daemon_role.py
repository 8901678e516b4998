"""A daemon's connection: its registration, and the way of its answers and events."""

import logging
from dataclasses import dataclass
from typing import ClassVar

from host.core.clock import now_rfc3339
from host.protocol.catalog import CATALOG
from host.protocol.close_codes import CloseCode
from host.protocol.envelope import Envelope, askers_of
from host.protocol.errors import InvalidRequest, RateLimited, Unsupported
from host.protocol.messages.auth import HOST_CLIENT_ID, ClientId
from host.protocol.messages.base import encode_payload, parse_request
from host.protocol.messages.system import DaemonRegister, DaemonRegistered, DaemonStatus, SignedInUser
from relay_stub import routing, subjects
from relay_stub.connection import Connection
from relay_stub.oauth.tokens import AccessClaims
from relay_stub.ports import Unsubscribe
from relay_stub.version import relay_version

logger = logging.getLogger(__name__)


@dataclass
class DaemonRole:
    hello_type: ClassVar[str] = DaemonRegister.wire_type
    audience: ClassVar[ClientId] = HOST_CLIENT_ID

    connection: Connection
    _user_id: str = ""
    _machine_key: str = ""
    _label: str = ""
    _projects: frozenset[str] = frozenset()
    _content: DaemonRegister | None = None
    _unsubscribe: Unsubscribe | None = None

    def hello(self, envelope: Envelope, claims: AccessClaims) -> str:
        registration = parse_request(DaemonRegister, envelope.payload)
        if self._machine_key not in ("", registration.machine_key):
            raise InvalidRequest.of_field("machineKey", "It cannot change on a live connection.")
        relay = self.connection.relay
        relay.registrations.save(claims.user_id, registration, at=now_rfc3339())
        self._user_id, self._machine_key = claims.user_id, registration.machine_key
        self._label = registration.machine.label
        self._projects = frozenset(project.project_id for project in registration.projects)
        if self._unsubscribe is None:
            self._take_over()
        answer = DaemonRegistered(
            connection_id=self.connection.id,
            user=SignedInUser(claims.user_id, claims.login),
            server_time=now_rfc3339(),
            relay_version=relay_version(),
            limits=relay.config.limits(),
        )
        self.connection.answer(envelope, DaemonRegistered.wire_type, answer)
        logger.debug(
            "%s [%s] of user %s for machine %.128r",
            envelope.type,
            envelope.request_id,
            self._user_id,
            self._machine_key,
        )
        content = registration.model_copy(update={"token": ""})
        if content != self._content:
            # A renewed token alone is no news to the user's clients.
            self._content = content
            self._announce(connected=True)
        return self._label

    def receive(self, envelope: Envelope) -> None:
        if envelope.reply_to is None and envelope.type in CATALOG:
            raise Unsupported("A daemon cannot ask this of the relay.")
        for delivery in routing.from_daemon(
            envelope,
            user_id=self._user_id,
            machine_key=self._machine_key,
            owns_project=self._projects.__contains__,
        ):
            self.connection.relay.bus.publish(delivery.subject, delivery.envelope)

    def closed(self) -> None:
        if self._unsubscribe is None:
            return
        self._unsubscribe()
        relay = self.connection.relay
        if relay.presence.disconnect(self._user_id, self._machine_key, self.connection.id):
            self._tell_lost()
            self._announce(connected=False)
        # Last, as a full disk must not keep a machine that is gone connected.
        relay.registrations.touch(self._user_id, self._machine_key, at=now_rfc3339())

    def _take_over(self) -> None:
        """Become the machine's connection; an older one of the same machine is closed."""
        relay, subject = self.connection.relay, subjects.machine(self._user_id, self._machine_key)
        if relay.presence.is_connected(self._user_id, self._machine_key):
            relay.bus.publish(subject, Envelope(routing.MACHINE_REPLACED))
            self._tell_lost()
        relay.presence.connect(self._user_id, self._machine_key, self.connection.id)
        self._unsubscribe = relay.bus.subscribe(subject, self._deliver)

    def _deliver(self, envelope: Envelope) -> None:
        """A client's request, or the word that this connection was replaced."""
        if envelope.type == routing.MACHINE_REPLACED:
            self.connection.socket.close(CloseCode.REPLACED)
        elif not self.connection.socket.offer(envelope):
            self._turn_away(envelope)

    def _turn_away(self, request: Envelope) -> None:
        """The daemon reads slower than it is asked: the asker hears at once, the link lives on."""
        error = RateLimited("The machine has more requests waiting than it can take. Try again.")
        refusal = Envelope("error", request_id=request.request_id, machine_key=self._machine_key, error=error.to_wire())
        for asker in askers_of(request):
            self.connection.relay.bus.publish(subjects.client(self._user_id, asker), refusal)

    def _tell_lost(self) -> None:
        lost = Envelope(routing.MACHINE_LOST, machine_key=self._machine_key)
        self.connection.relay.bus.publish(subjects.clients_of(self._user_id), lost)

    def _announce(self, *, connected: bool) -> None:
        status = DaemonStatus(machine_key=self._machine_key, connected=connected, label=self._label, at=now_rfc3339())
        event = Envelope(DaemonStatus.wire_type, machine_key=self._machine_key, payload=encode_payload(status))
        self.connection.relay.bus.publish(subjects.clients_of(self._user_id), event)
