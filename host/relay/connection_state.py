"""The link's state machine (docs/connection-states.md). No clock, no IO.

``disconnected`` means that nobody is trying: not signed in, replaced, version not spoken,
or stopped. Between two tries the state stays ``connecting`` or ``reconnecting``.
"""

from enum import StrEnum, auto
from typing import Final


class State(StrEnum):
    DISCONNECTED = auto()
    CONNECTING = auto()
    CONNECTED = auto()
    RECONNECTING = auto()


class Signal(StrEnum):
    TRY = auto()
    REGISTERED = auto()
    LOST = auto()
    GIVE_UP = auto()


TRANSITIONS: Final[dict[tuple[State, Signal], State]] = {
    (State.DISCONNECTED, Signal.TRY): State.CONNECTING,
    (State.DISCONNECTED, Signal.GIVE_UP): State.DISCONNECTED,
    (State.CONNECTING, Signal.TRY): State.CONNECTING,
    (State.CONNECTING, Signal.REGISTERED): State.CONNECTED,
    (State.CONNECTING, Signal.LOST): State.CONNECTING,
    (State.CONNECTING, Signal.GIVE_UP): State.DISCONNECTED,
    (State.CONNECTED, Signal.REGISTERED): State.CONNECTED,
    (State.CONNECTED, Signal.LOST): State.RECONNECTING,
    (State.CONNECTED, Signal.GIVE_UP): State.DISCONNECTED,
    (State.RECONNECTING, Signal.TRY): State.RECONNECTING,
    (State.RECONNECTING, Signal.REGISTERED): State.CONNECTED,
    (State.RECONNECTING, Signal.LOST): State.RECONNECTING,
    (State.RECONNECTING, Signal.GIVE_UP): State.DISCONNECTED,
}


def advance(state: State, signal: Signal) -> State:
    """Raises KeyError for a pair that cannot be: that is a bug of the caller."""
    return TRANSITIONS[state, signal]
