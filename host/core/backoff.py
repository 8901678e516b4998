"""Reconnect delays, as plain numbers."""

from collections.abc import Callable, Iterator

from host.protocol.limits import RECONNECT_CAP_S, RECONNECT_FIRST_S


def backoff_delays_s(jitter: Callable[[], float]) -> Iterator[float]:
    """Yield seconds to wait before each attempt, without end: 1, 2, 4 … 60.

    ``jitter`` returns a number in [0, 1); each delay is spread over 50-100 % of its step.
    """
    step_s = RECONNECT_FIRST_S
    while True:
        yield step_s * (0.5 + jitter() / 2)
        step_s = min(step_s * 2, RECONNECT_CAP_S)
