from itertools import product

import pytest

from host.relay.connection_state import TRANSITIONS, Signal, State, advance

# Why these cannot be; every other pair stands in the table.
IMPOSSIBLE = {
    (State.DISCONNECTED, Signal.REGISTERED): "Nobody tries, so there is no connection to register on.",
    (State.DISCONNECTED, Signal.LOST): "Nobody tries, so there is no connection to lose.",
    (State.CONNECTED, Signal.TRY): "A connection is lost or given up before the next is tried.",
}


def test_every_pair_of_state_and_signal_is_in_the_table_or_impossible_for_a_reason() -> None:
    assert set(TRANSITIONS) | set(IMPOSSIBLE) == set(product(State, Signal))
    assert not set(TRANSITIONS) & set(IMPOSSIBLE)


@pytest.mark.parametrize(("state", "signal"), IMPOSSIBLE)
def test_an_impossible_pair_raises(state: State, signal: Signal) -> None:
    with pytest.raises(KeyError):
        advance(state, signal)


def test_connected_means_registered_and_nothing_else() -> None:
    assert {signal for (_, signal), state in TRANSITIONS.items() if state is State.CONNECTED} == {Signal.REGISTERED}
    assert {state for (_, signal), state in TRANSITIONS.items() if signal is Signal.REGISTERED} == {State.CONNECTED}


def test_giving_up_disconnects_from_everywhere() -> None:
    assert {advance(state, Signal.GIVE_UP) for state in State} == {State.DISCONNECTED}


def test_only_who_was_connected_reconnects() -> None:
    entered = {before for (before, _), state in TRANSITIONS.items() if state is State.RECONNECTING}

    assert entered == {State.CONNECTED, State.RECONNECTING}


def test_the_states_are_the_contracts_words() -> None:
    assert [state.value for state in State] == ["disconnected", "connecting", "connected", "reconnecting"]
