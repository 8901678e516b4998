"""A relay's roles without sockets, two users who do as a plan says, and what each of them may hear."""

from dataclasses import dataclass, field
from itertools import count
from typing import Any, Final, cast

import msgspec

from host.protocol.close_codes import CloseCode
from host.protocol.envelope import Envelope, decode_envelope, encode_envelope
from host.protocol.errors import ProtocolError
from relay_stub.client_role import ClientRole
from relay_stub.connection import Connection, Relay
from relay_stub.daemon_role import DaemonRole
from relay_stub.oauth.access_tokens import AccessClaims
from relay_stub.oauth.identity.port import Visit
from relay_stub.peer_socket import PeerSocket
from tests.support.relay import registration

# Both users have machines and projects of the same names: only the user tells them apart.
USERS: Final = ("alice", "bob")
MACHINES: Final = ("m0", "m1")
PROJECTS: Final = ("p0", "p1", "p2")
REQUEST_IDS: Final = ("r0", "r1")
CLIENTS: Final = 4
VISIT: Final = Visit("127.0.0.1", "http://127.0.0.1:8787")


@dataclass
class Recorder:
    """Stands in for a socket: keeps what is sent."""

    received: list[Envelope] = field(default_factory=list)
    is_closing: bool = False

    def send(self, envelope: Envelope) -> None:
        if not self.is_closing:
            self.received.append(decode_envelope(encode_envelope(envelope)))

    def offer(self, envelope: Envelope) -> bool:
        self.send(envelope)
        return True

    def close(self, code: CloseCode) -> None:
        self.is_closing = True


class Peer:
    """A connection of one user, with the relay's real role behind it."""

    def __init__(self, relay: Relay, user: str, user_id: str, role: type[ClientRole] | type[DaemonRole]) -> None:
        self.user = user
        self.recorder = Recorder()
        self._claims = AccessClaims(user_id, user, "session", role.audience, 0.0)
        self.connection = Connection(relay, cast("PeerSocket", self.recorder), VISIT)
        self.role = role(self.connection)

    def hello(self, payload: object) -> None:
        self.role.hello(message("hello", payload), self._claims)

    def say(self, envelope: Envelope) -> None:
        try:
            self.role.receive(envelope)
        except ProtocolError as exc:
            self.connection.refuse(envelope.request_id, envelope.session_id, exc)


def message(wire_type: str, payload: object, **members: Any) -> Envelope:
    members.setdefault("request_id", "hello")
    return Envelope(wire_type, payload=msgspec.Raw(msgspec.json.encode(payload)), **members)


def content(envelope: Envelope) -> dict[str, Any]:
    decoded: dict[str, Any] = msgspec.json.decode(envelope.payload)
    return decoded


class World:
    """Two users' clients and machines at one relay, and what each of them has a right to."""

    def __init__(self, relay: Relay, user_ids: dict[str, str]) -> None:
        self._relay = relay
        self._user_ids = user_ids
        self._numbers = count()
        self.clients = [self._client(USERS[number % 2]) for number in range(CLIENTS)]
        self.daemons: dict[tuple[str, str], Peer] = {}
        self.owned: dict[tuple[str, str], set[str]] = {}
        self.joined: list[set[str]] = [set() for _ in range(CLIENTS)]
        self.asked: list[dict[str, int]] = [{} for _ in range(CLIENTS)]

    def _client(self, user: str) -> Peer:
        client = Peer(self._relay, user, self._user_ids[user], ClientRole)
        client.hello({"protocolVersion": 1, "token": "t"})
        return client

    def register(self, user: str, machine: str, projects: set[str]) -> None:
        daemon = self.daemons.get((user, machine))
        if daemon is None:
            daemon = self.daemons[user, machine] = Peer(self._relay, user, self._user_ids[user], DaemonRole)
        daemon.hello(registration("t", machine_key=machine, label=user, projects=sorted(projects)))
        self.owned[user, machine] = projects

    def drop(self, user: str, machine: str) -> None:
        if daemon := self.daemons.pop((user, machine), None):
            daemon.role.closed()
            daemon.recorder.is_closing = True
            del self.owned[user, machine]

    def join(self, number: int, project: str, *, leave: bool) -> None:
        client = self.clients[number]
        client.say(message("project_leave" if leave else "project_join", {}, session_id=project))
        if client.recorder.received[-1].type != "error":
            self.joined[number] = self.joined[number] - {project} if leave else self.joined[number] | {project}

    def ask(self, number: int, request_id: str, names: dict[str, str], reply_to: int) -> None:
        client = self.clients[number]
        forged = self.clients[reply_to].connection.id
        request = message(
            "fs_list" if "session_id" in names else "brand_new",
            {"user": client.user},
            request_id=request_id,
            reply_to=forged,
            **names,
        )
        self.asked[number][request_id] = self.asked[number].get(request_id, 0) + 1
        client.say(request)

    def answer(self, user: str, machine: str, wire_type: str, request_id: str, reply_to: int) -> None:
        """An answer to whoever it names, asked for or not."""
        if daemon := self.daemons.get((user, machine)):
            daemon.say(
                message(
                    wire_type,
                    {"user": user},
                    request_id=request_id,
                    session_id=PROJECTS[0],
                    reply_to=self.clients[reply_to].connection.id,
                )
            )

    def tell(self, user: str, machine: str, wire_type: str, project: str | None, reply_to: int | None) -> None:
        """An event; who hears it is checked against who may and must."""
        daemon = self.daemons.get((user, machine))
        if daemon is None:
            return
        told = {"user": user, "number": next(self._numbers)}
        asker = None if reply_to is None else self.clients[reply_to].connection.id
        daemon.say(message(wire_type, told, request_id=None, session_id=project, reply_to=asker))
        heard_by = [number for number in range(CLIENTS) if self._times_heard(number, told)]
        assert all(self._times_heard(number, told) == 1 for number in heard_by)
        assert set(heard_by) == self._audience(user, machine, wire_type, project, reply_to)

    def _times_heard(self, number: int, told: dict[str, Any]) -> int:
        return sum(content(envelope) == told for envelope in self.clients[number].recorder.received)

    def _audience(self, user: str, machine: str, wire_type: str, project: str | None, reply_to: int | None) -> set[int]:
        own = {number for number in range(CLIENTS) if self.clients[number].user == user}
        if wire_type.startswith("relay."):
            return set()
        if wire_type == "attention":
            return own
        audience = own & {reply_to}
        if project in self.owned[user, machine]:
            audience |= {number for number in own if project in self.joined[number]}
        return audience

    def check(self) -> None:
        for number, client in enumerate(self.clients):
            terminals = [envelope.request_id for envelope in client.recorder.received if is_answer(envelope)]
            for request_id in REQUEST_IDS:
                assert terminals.count(request_id) <= self.asked[number].get(request_id, 0)
            for envelope in client.recorder.received:
                assert_is_of(envelope, client.user)
                assert envelope.reply_to is None
                assert envelope.from_ is None
        for (user, machine), daemon in self.daemons.items():
            for envelope in daemon.recorder.received:
                assert_is_of(envelope, user)
                if envelope.from_ is not None:
                    assert envelope.reply_to == envelope.from_.connection_id
                    (asker,) = [peer for peer in self.clients if peer.connection.id == envelope.reply_to]
                    assert asker.user == user
                    assert envelope.machine_key in (None, machine)

    def close(self) -> None:
        for peer in (*self.clients, *self.daemons.values()):
            peer.role.closed()


def is_answer(envelope: Envelope) -> bool:
    return envelope.type == "error" or envelope.type.endswith("_response")


def assert_is_of(envelope: Envelope, user: str) -> None:
    """All content here says whose it is: by ``user``, a name or a signed-in user, and a machine by its label."""
    payload = content(envelope)
    owner = payload.get("user", user)
    assert (owner["login"] if isinstance(owner, dict) else owner) == user
    assert payload.get("label", user) == user
