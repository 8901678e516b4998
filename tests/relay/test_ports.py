"""What every adapter of the relay's ports must do."""

from collections.abc import Callable

import pytest

from host.protocol.envelope import Envelope
from relay_stub.bus.memory import MemoryBus
from relay_stub.ports import Bus, Presence
from relay_stub.presence.memory import MemoryPresence

BUSES: list[Callable[[], Bus]] = [MemoryBus]
PRESENCES: list[Callable[[], Presence]] = [MemoryPresence]


@pytest.fixture(params=BUSES)
def bus(request: pytest.FixtureRequest) -> Bus:
    made: Bus = request.param()
    return made


@pytest.fixture(params=PRESENCES)
def presence(request: pytest.FixtureRequest) -> Presence:
    made: Presence = request.param()
    return made


def numbered(number: int) -> Envelope:
    return Envelope("event", request_id=str(number))


def test_what_is_published_reaches_every_subscriber_of_the_subject_once(bus: Bus) -> None:
    first: list[Envelope] = []
    second: list[Envelope] = []
    bus.subscribe("s", first.append)
    bus.subscribe("s", second.append)
    bus.publish("s", numbered(1))
    assert first == second == [numbered(1)]


def test_another_subjects_messages_do_not_arrive(bus: Bus) -> None:
    received: list[Envelope] = []
    bus.subscribe("user.a", received.append)
    for subject in ("user.b", "user", "user.a.b", "user.*", "user.>", ""):
        bus.publish(subject, numbered(1))
    assert received == []


def test_messages_arrive_in_the_order_of_publication(bus: Bus) -> None:
    received: list[Envelope] = []
    bus.subscribe("s", received.append)
    for number in range(100):
        bus.publish("s", numbered(number))
    assert received == [numbered(number) for number in range(100)]


def test_publishing_to_nobody_is_no_fault_and_nothing_is_kept(bus: Bus) -> None:
    bus.publish("s", numbered(1))
    received: list[Envelope] = []
    bus.subscribe("s", received.append)
    assert received == []


def test_who_unsubscribed_gets_nothing_more_and_others_do(bus: Bus) -> None:
    gone: list[Envelope] = []
    stays: list[Envelope] = []
    unsubscribe = bus.subscribe("s", gone.append)
    bus.subscribe("s", stays.append)
    unsubscribe()
    bus.publish("s", numbered(1))
    assert (gone, stays) == ([], [numbered(1)])


def test_unsubscribing_twice_takes_nobody_elses_place(bus: Bus) -> None:
    received: list[Envelope] = []
    unsubscribe = bus.subscribe("s", received.append)
    unsubscribe()
    bus.subscribe("s", received.append)
    unsubscribe()
    bus.publish("s", numbered(1))
    assert received == [numbered(1)]


def test_one_sink_subscribed_twice_is_two_subscriptions(bus: Bus) -> None:
    received: list[Envelope] = []
    unsubscribe = bus.subscribe("s", received.append)
    bus.subscribe("s", received.append)
    bus.publish("s", numbered(1))
    unsubscribe()
    bus.publish("s", numbered(2))
    assert received == [numbered(1), numbered(1), numbered(2)]


def test_a_sink_may_unsubscribe_itself_while_it_is_called(bus: Bus) -> None:
    received: list[Envelope] = []

    def once(envelope: Envelope) -> None:
        received.append(envelope)
        unsubscribe()

    unsubscribe = bus.subscribe("s", once)
    others: list[Envelope] = []
    bus.subscribe("s", others.append)
    bus.publish("s", numbered(1))
    bus.publish("s", numbered(2))
    assert received == [numbered(1)]
    assert others == [numbered(1), numbered(2)]


def test_a_sink_may_publish_and_subscribe_while_it_is_called(bus: Bus) -> None:
    answered: list[Envelope] = []
    late: list[Envelope] = []

    def answer(_: Envelope) -> None:
        bus.subscribe("question", late.append)
        bus.publish("answer", numbered(2))

    bus.subscribe("question", answer)
    bus.subscribe("answer", answered.append)
    bus.publish("question", numbered(1))
    assert answered == [numbered(2)]
    bus.publish("question", numbered(3))
    assert numbered(3) in late


def test_a_machine_is_connected_from_connect_to_disconnect(presence: Presence) -> None:
    assert not presence.is_connected("alice", "laptop")
    presence.connect("alice", "laptop", "c1")
    assert presence.is_connected("alice", "laptop")
    assert presence.disconnect("alice", "laptop", "c1")
    assert not presence.is_connected("alice", "laptop")


def test_a_replaced_connections_end_does_not_end_the_machines_presence(presence: Presence) -> None:
    presence.connect("alice", "laptop", "c1")
    presence.connect("alice", "laptop", "c2")
    assert not presence.disconnect("alice", "laptop", "c1")
    assert presence.is_connected("alice", "laptop")
    assert presence.disconnect("alice", "laptop", "c2")


def test_a_disconnect_counts_once(presence: Presence) -> None:
    presence.connect("alice", "laptop", "c1")
    assert presence.disconnect("alice", "laptop", "c1")
    assert not presence.disconnect("alice", "laptop", "c1")


def test_the_same_machine_key_of_two_users_is_two_machines(presence: Presence) -> None:
    presence.connect("alice", "laptop", "c1")
    assert not presence.is_connected("bob", "laptop")
    assert not presence.disconnect("bob", "laptop", "c1")
    assert presence.is_connected("alice", "laptop")
