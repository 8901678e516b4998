"""Which envelope goes where, and who may. Pure: facts come in, decisions go out.

Payloads are not parsed here, but for the one number the contract gives the relay to
watch: ``command_exec``'s own time limit.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Final

import msgspec
from msgspec.structs import replace

from host.protocol.catalog import (
    COMMAND_EXEC,
    DEFAULT_TIMEOUT_S,
    is_terminal,
    needs_project,
    request_timeout_s,
)
from host.protocol.envelope import Envelope, InvalidEnvelope, Sender, askers_of, is_request_id
from host.protocol.errors import InvalidRequest, MachineOffline, ProjectNotFound, Unsupported
from host.protocol.limits import COMMAND_TIMEOUT_DEFAULT_MS, COMMAND_TIMEOUT_MAX_MS
from relay_stub import subjects

# Only the relay says these, to its own connections.
INTERNAL_PREFIX: Final = "relay."
MACHINE_REPLACED: Final = "relay.machine_replaced"
MACHINE_LOST: Final = "relay.machine_lost"
SESSION_REVOKED: Final = "relay.session_revoked"

# What a daemon tells all of its user's clients, joined or not.
_EVENTS_FOR_ALL_CLIENTS: Final = frozenset({"attention"})
# What it tells nobody but who asked, though they name the project like any event.
_EVENTS_FOR_ASKERS: Final = frozenset({"git_progress"})


@dataclass(frozen=True)
class Delivery:
    subject: str
    envelope: Envelope


class _CommandLimit(msgspec.Struct, rename="camel"):
    timeout_ms: int = COMMAND_TIMEOUT_DEFAULT_MS


def check_request(envelope: Envelope) -> str:
    """Return the request's id. Raises InvalidEnvelope for a missing or malformed one."""
    request_id = envelope.request_id
    if request_id is None or not is_request_id(request_id):
        known = None if request_id is None or len(request_id) > 1024 else request_id
        raise InvalidEnvelope("requestId", "It must be 1 to 128 printable ASCII characters.", known)
    return request_id


def project_of(envelope: Envelope) -> str:
    """The id of the project a request is about. Raises InvalidRequest when it names none."""
    if envelope.session_id is None:
        raise InvalidRequest.of_field("sessionId", "This type needs the id of a project.")
    return envelope.session_id


def machine_of(
    envelope: Envelope,
    *,
    machine_of_project: Callable[[str], str | None],
    is_known_machine: Callable[[str], bool],
    is_connected: Callable[[str], bool],
) -> str:
    """Return the key of the machine that a client's request goes to.

    The facts are asked of the client's own user. Raises, in the contract's order of
    precedence: InvalidRequest for a project type without a project, ProjectNotFound,
    MachineOffline, Unsupported for a type that nobody here knows the way of.
    """
    if needs_project(envelope.type):
        project_of(envelope)
    if envelope.type.startswith(INTERNAL_PREFIX):
        raise Unsupported("The relay does not offer this type of message.")
    machine_key = _known_machine(envelope, machine_of_project, is_known_machine)
    if not is_connected(machine_key):
        raise MachineOffline
    return machine_key


def _known_machine(
    envelope: Envelope, machine_of_project: Callable[[str], str | None], is_known_machine: Callable[[str], bool]
) -> str:
    if envelope.session_id is not None:
        owner = owner_of_project(envelope, machine_of_project)
        if owner is not None:
            return owner
        if needs_project(envelope.type):
            raise ProjectNotFound
    if envelope.machine_key is not None and is_known_machine(envelope.machine_key):
        return envelope.machine_key
    if needs_machine(envelope.type):
        if envelope.machine_key is None:
            raise InvalidRequest.of_field("machineKey", "This type needs the key of a machine.")
        raise MachineOffline
    raise Unsupported("The relay does not offer this type of message.")


def owner_of_project(envelope: Envelope, machine_of_project: Callable[[str], str | None]) -> str | None:
    """The machine of the project that a request names, None for no project of this user's.

    Raises InvalidRequest when the request names another machine beside it.
    """
    owner = machine_of_project(envelope.session_id or "")
    if owner is not None and envelope.machine_key not in (None, owner):
        raise InvalidRequest.of_field("machineKey", "The project is on another machine.")
    return owner


def needs_machine(wire_type: str) -> bool:
    """Whether requests of this type go to a machine as a whole."""
    return wire_type == "attention_list"


def stamp(envelope: Envelope, *, connection_id: str, device: str | None) -> Envelope:
    """The request as the daemon gets it: with the way back, and who asks."""
    return replace(envelope, reply_to=connection_id, from_=Sender(connection_id, device), error=None)


def timeout_s(envelope: Envelope, *, default_s: float = DEFAULT_TIMEOUT_S) -> float:
    """How long the request may wait for its terminal message."""
    if envelope.type != COMMAND_EXEC:
        return request_timeout_s(envelope.type, default_s=default_s)
    try:
        limit_ms = msgspec.json.decode(envelope.payload, type=_CommandLimit).timeout_ms
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        limit_ms = 0  # The daemon will refuse it at once.
    return min(max(limit_ms, 0), COMMAND_TIMEOUT_MAX_MS) / 1000 + default_s


def from_daemon(
    envelope: Envelope, *, user_id: str, machine_key: str, owns_project: Callable[[str], bool]
) -> Iterable[Delivery]:
    """Where a daemon's message goes.

    An answer goes to the connection that asked. An event goes to the askers, if it names
    any, and to the clients that joined its project; an asker's connection drops the
    second copy by ``reply_to``. An event of another machine's project reaches nobody who joined it.
    """
    if envelope.type.startswith(INTERNAL_PREFIX):
        return
    stamped = replace(envelope, machine_key=machine_key, from_=None)
    for asker in dict.fromkeys(askers_of(stamped)):
        yield Delivery(subjects.client(user_id, asker), stamped)
    if _is_answer(stamped) or stamped.type in _EVENTS_FOR_ASKERS:
        return
    if stamped.type in _EVENTS_FOR_ALL_CLIENTS:
        yield Delivery(subjects.clients_of(user_id), stamped)
    elif stamped.session_id is not None and owns_project(stamped.session_id):
        yield Delivery(subjects.project(user_id, stamped.session_id), replace(stamped, request_id=None))


def _is_answer(envelope: Envelope) -> bool:
    return envelope.type == "error" or envelope.type.endswith("_response")


def answers(envelope: Envelope, *, request_type: str, machine_key: str) -> bool:
    """Whether a daemon's message is the terminal one of a pending request."""
    return envelope.machine_key == machine_key and is_terminal(envelope.type, request_type=request_type)


def for_client(envelope: Envelope) -> Envelope:
    """An event as a client sees it."""
    return replace(envelope, reply_to=None, from_=None)


def answer_for_client(envelope: Envelope, *, request_id: str, session_id: str | None) -> Envelope:
    """An answer as the asker sees it: nothing of the way it took."""
    return replace(envelope, request_id=request_id, session_id=session_id, machine_key=None, reply_to=None, from_=None)
