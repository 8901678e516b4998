"""Which envelope goes where, decided without a socket: docs/protocol.md, "Envelope"."""

from collections.abc import Iterable
from dataclasses import dataclass, field

import msgspec
import pytest

from host.protocol.envelope import Envelope, InvalidEnvelope, Sender
from host.protocol.errors import (
    InvalidRequest,
    MachineOffline,
    ProjectNotFound,
    ProtocolError,
    Unsupported,
    WireError,
)
from relay_stub import routing, subjects
from relay_stub.routing import Delivery

PROJECT_TYPES = ("fs_list", "git_status", "command_exec", "agent_message", "events_read", "project_brand_new")


@dataclass(frozen=True)
class Facts:
    """What one user has: a laptop that is connected, a desktop that is not, a project on each."""

    projects: dict[str, str] = field(default_factory=lambda: {"on-laptop": "laptop", "on-desktop": "desktop"})
    machines: Iterable[str] = ("laptop", "desktop")
    connected: Iterable[str] = ("laptop",)

    def machine_of(self, wire_type: str, *, project: str | None = None, machine: str | None = None) -> str:
        return routing.machine_of(
            Envelope(wire_type, request_id="r1", session_id=project, machine_key=machine),
            machine_of_project=self.projects.get,
            is_known_machine=lambda key: key in self.machines,
            is_connected=lambda key: key in self.connected,
        )


ALICE = Facts()


@pytest.mark.parametrize("wire_type", PROJECT_TYPES)
def test_a_project_request_goes_to_the_machine_that_registered_the_project(wire_type: str) -> None:
    assert ALICE.machine_of(wire_type, project="on-laptop") == "laptop"


@pytest.mark.parametrize("wire_type", PROJECT_TYPES)
@pytest.mark.parametrize("machine", [None, "laptop", "desktop", "stranger"])
def test_a_project_request_without_a_project_is_invalid_whatever_machine_it_names(
    wire_type: str, machine: str | None
) -> None:
    with pytest.raises(InvalidRequest) as refused:
        ALICE.machine_of(wire_type, machine=machine)
    assert refused.value.details["errors"][0]["field"] == "sessionId"


@pytest.mark.parametrize("wire_type", PROJECT_TYPES)
@pytest.mark.parametrize("machine", [None, "laptop", "desktop", "stranger"])
def test_an_unknown_project_is_not_found_whatever_machine_is_named_beside_it(
    wire_type: str, machine: str | None
) -> None:
    with pytest.raises(ProjectNotFound):
        ALICE.machine_of(wire_type, project="nowhere", machine=machine)


def test_a_machine_beside_a_project_is_merely_checked() -> None:
    assert ALICE.machine_of("fs_list", project="on-laptop", machine="laptop") == "laptop"


@pytest.mark.parametrize(
    ("project", "machine"),
    [("on-laptop", "desktop"), ("on-laptop", "stranger"), ("on-laptop", ""), ("on-desktop", "laptop")],
)
def test_a_wrong_machine_beside_a_project_is_invalid_also_when_it_is_offline(project: str, machine: str) -> None:
    with pytest.raises(InvalidRequest) as refused:
        ALICE.machine_of("fs_list", project=project, machine=machine)
    assert refused.value.details["errors"][0]["field"] == "machineKey"


@pytest.mark.parametrize("wire_type", [*PROJECT_TYPES, "brand_new"])
def test_a_known_project_of_an_absent_machine_is_offline_before_it_is_unsupported(wire_type: str) -> None:
    assert_offline(wire_type, project="on-desktop")


def test_a_type_nobody_here_knows_is_forwarded_by_project_or_by_machine() -> None:
    assert ALICE.machine_of("brand_new", project="on-laptop") == "laptop"
    assert ALICE.machine_of("brand_new", machine="laptop") == "laptop"


def test_a_type_that_needs_no_project_goes_to_its_machine_whatever_project_it_names() -> None:
    assert ALICE.machine_of("brand_new", project="nowhere", machine="laptop") == "laptop"
    assert ALICE.machine_of("attention_list", project="nowhere", machine="laptop") == "laptop"


@pytest.mark.parametrize(
    "names", [{}, {"machine": "stranger"}, {"project": "nowhere"}, {"project": "nowhere", "machine": "stranger"}]
)
def test_a_type_nobody_knows_for_nothing_of_this_user_is_unsupported(names: dict[str, str]) -> None:
    with pytest.raises(Unsupported):
        ALICE.machine_of("brand_new", **names)


def test_an_unknown_type_for_an_absent_machine_is_offline() -> None:
    assert_offline("brand_new", machine="desktop")


@pytest.mark.parametrize("machine", ["desktop", "stranger"])
def test_what_waits_on_an_absent_machine_or_another_users_is_offline_alike(machine: str) -> None:
    assert_offline("attention_list", machine=machine)


@pytest.mark.parametrize("wire_type", [routing.MACHINE_LOST, routing.MACHINE_REPLACED, "relay.brand_new"])
def test_what_only_the_relay_says_is_unsupported_from_a_client(wire_type: str) -> None:
    for names in ({}, {"project": "on-laptop"}, {"machine": "laptop"}):
        with pytest.raises(Unsupported):
            ALICE.machine_of(wire_type, **names)


@pytest.mark.parametrize("request_id", ["r", "x" * 128, "~!@ {}", "6b1f0000-0000-4000-8000-000000000000"])
def test_a_request_id_of_printable_ascii_is_taken(request_id: str) -> None:
    assert routing.check_request(Envelope("fs_list", request_id=request_id)) == request_id


@pytest.mark.parametrize("request_id", [None, "", "x" * 129, "tab\t", "é", "\x00"])
def test_any_other_request_id_is_refused(request_id: str | None) -> None:
    with pytest.raises(InvalidEnvelope):
        routing.check_request(Envelope("fs_list", request_id=request_id))


def test_a_refused_request_id_is_told_back_unless_it_is_huge() -> None:
    with pytest.raises(InvalidEnvelope) as long:
        routing.check_request(Envelope("fs_list", request_id="x" * 200))
    with pytest.raises(InvalidEnvelope) as huge:
        routing.check_request(Envelope("fs_list", request_id="x" * 100_000))
    assert (long.value.request_id, huge.value.request_id) == ("x" * 200, None)


def test_what_a_client_claims_of_itself_is_replaced() -> None:
    forged = Envelope(
        "fs_list",
        request_id="r1",
        session_id="p",
        reply_to="another's connection",
        from_=Sender("another's connection", "another's phone"),
        payload=msgspec.Raw(b'{"path":""}'),
        error=WireError("CONFLICT", "No."),
    )
    assert routing.stamp(forged, connection_id="mine", device="phone") == Envelope(
        "fs_list",
        request_id="r1",
        session_id="p",
        reply_to="mine",
        from_=Sender("mine", "phone"),
        payload=msgspec.Raw(b'{"path":""}'),
    )


@pytest.mark.parametrize(
    ("wire_type", "expected_s"),
    [
        *((wire_type, 15) for wire_type in ("fs_list", "git_status", "git_diff", "agent_message", "brand_new")),
        *((wire_type, 135) for wire_type in ("git_push", "git_fetch", "git_pull")),
        *((wire_type, 60) for wire_type in ("git_commit", "git_checkout", "git_stage", "git_unstage", "git_discard")),
        ("git_branch_create", 60),
        ("command_cancel", 15),
    ],
)
def test_each_type_has_its_time(wire_type: str, expected_s: float) -> None:
    assert routing.timeout_s(Envelope(wire_type)) == expected_s


@pytest.mark.parametrize(
    ("payload", "expected_s"),
    [
        (b'{"command":"make","timeoutMs":5000}', 20),
        (b'{"command":"make"}', 135),
        (b'{"timeoutMs":3600000}', 3615),
        # What the daemon will refuse is waited for no longer than anything else, or than the longest run.
        (b'{"timeoutMs":9999999999999}', 3615),
        (b'{"timeoutMs":-5}', 15),
        (b'{"timeoutMs":"5000"}', 15),
        (b'{"timeoutMs":null}', 15),
        (b"[]", 15),
        (b'{"timeoutMs":"\xff"}', 15),
        (b"[" * 100_000 + b"]" * 100_000, 15),
    ],
    ids=range(10),
)
def test_a_command_has_its_own_limit_and_fifteen_seconds(payload: bytes, expected_s: float) -> None:
    assert routing.timeout_s(Envelope("command_exec", payload=msgspec.Raw(payload))) == expected_s


def from_laptop(envelope: Envelope) -> list[Delivery]:
    """What the relay makes of a message of Alice's laptop, which has one project."""
    return list(
        routing.from_daemon(
            envelope, user_id="alice", machine_key="laptop", owns_project=lambda project_id: project_id == "on-laptop"
        )
    )


@pytest.mark.parametrize("wire_type", ["fs_list_response", "error"])
def test_an_answer_goes_to_its_asker_alone(wire_type: str) -> None:
    answer = Envelope(wire_type, request_id="r1", session_id="on-laptop", reply_to="c1")
    assert [delivery.subject for delivery in from_laptop(answer)] == [subjects.client("alice", "c1")]


@pytest.mark.parametrize("wire_type", ["fs_list_response", "error"])
def test_an_answer_to_nobody_goes_nowhere(wire_type: str) -> None:
    assert from_laptop(Envelope(wire_type, request_id="r1", session_id="on-laptop")) == []


def test_an_event_goes_to_those_who_joined_its_project() -> None:
    (delivery,) = from_laptop(Envelope("fs_changed", session_id="on-laptop"))
    assert delivery.subject == subjects.project("alice", "on-laptop")


def test_a_streamed_event_goes_to_the_asker_and_to_those_who_joined() -> None:
    event = Envelope("command_output", session_id="on-laptop", reply_to="c1")
    assert [delivery.subject for delivery in from_laptop(event)] == [
        subjects.client("alice", "c1"),
        subjects.project("alice", "on-laptop"),
    ]


def test_how_far_git_is_reaches_the_asker_alone_with_its_project() -> None:
    (delivery,) = from_laptop(Envelope("git_progress", session_id="on-laptop", reply_to="c1"))
    assert delivery.subject == subjects.client("alice", "c1")
    assert delivery.envelope.session_id == "on-laptop"


def test_the_end_of_a_command_reaches_others_as_an_event_without_the_askers_request_id() -> None:
    ended = Envelope("command_exit", request_id="r1", session_id="on-laptop", reply_to="c1")
    to_asker, to_project = from_laptop(ended)
    assert (to_asker.envelope.request_id, to_project.envelope.request_id) == ("r1", None)


def test_what_names_a_project_of_another_machine_reaches_nobody_who_joined_it() -> None:
    assert from_laptop(Envelope("fs_changed", session_id="on-desktop")) == []
    assert from_laptop(Envelope("fs_changed")) == []


def test_attention_goes_to_all_the_users_clients() -> None:
    (delivery,) = from_laptop(Envelope("attention", session_id="on-laptop"))
    assert delivery.subject == subjects.clients_of("alice")


@pytest.mark.parametrize("wire_type", [routing.MACHINE_LOST, routing.MACHINE_REPLACED, "relay.brand_new"])
def test_what_only_the_relay_says_goes_nowhere_from_a_daemon(wire_type: str) -> None:
    assert from_laptop(Envelope(wire_type, session_id="on-laptop", reply_to="c1", machine_key="desktop")) == []


def test_a_daemon_speaks_for_its_own_machine_only_and_for_no_client() -> None:
    forged = Envelope("fs_changed", session_id="on-laptop", machine_key="desktop", from_=Sender("c1"))
    (delivery,) = from_laptop(forged)
    assert (delivery.envelope.machine_key, delivery.envelope.from_) == ("laptop", None)


@pytest.mark.parametrize("reply_to", ["bobs-connection", "user.bob.clients", "../../user.bob.client.c1"])
def test_a_forged_way_back_leads_nowhere_but_to_the_daemons_own_user(reply_to: str) -> None:
    for wire_type in ("fs_list_response", "error", "command_output"):
        for delivery in from_laptop(Envelope(wire_type, request_id="r1", session_id="on-laptop", reply_to=reply_to)):
            assert delivery.subject.startswith("user.alice.")


@pytest.mark.parametrize(
    ("wire_type", "request_type", "is_answer"),
    [
        ("fs_list_response", "fs_list", True),
        ("error", "fs_list", True),
        ("fs_read_response", "fs_list", False),
        ("fs_changed", "fs_list", False),
        ("command_exit", "command_exec", True),
        ("command_exec_response", "command_exec", True),
        ("command_exit", "command_cancel", False),
        ("command_output", "command_exec", False),
    ],
)
def test_a_terminal_message_is_the_types_response_an_error_or_a_commands_exit(
    wire_type: str, request_type: str, is_answer: bool
) -> None:
    message = Envelope(wire_type, request_id="r1", machine_key="laptop")
    assert routing.answers(message, request_type=request_type, machine_key="laptop") is is_answer


def test_only_the_machine_that_was_asked_answers() -> None:
    message = Envelope("fs_list_response", request_id="r1", machine_key="desktop")
    assert not routing.answers(message, request_type="fs_list", machine_key="laptop")


def test_nothing_of_its_way_is_left_on_what_a_client_gets() -> None:
    message = Envelope("x", request_id="r9", session_id="p9", machine_key="m", reply_to="c", from_=Sender("c"))
    assert routing.answer_for_client(message, request_id="r1", session_id="p1") == Envelope(
        "x", request_id="r1", session_id="p1"
    )
    assert routing.for_client(message) == Envelope("x", request_id="r9", session_id="p9", machine_key="m")


def assert_offline(wire_type: str, *, project: str | None = None, machine: str | None = None) -> None:
    with pytest.raises(ProtocolError) as refused:
        ALICE.machine_of(wire_type, project=project, machine=machine)
    assert type(refused.value) is MachineOffline
