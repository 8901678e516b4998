"""What is known of autostart without anybody waiting for it."""

import logging
import threading
import time
from collections.abc import Callable
from typing import Final

from host.autostart.choice import autostart
from host.autostart.port import AutostartFailed, AutostartState

logger = logging.getLogger(__name__)

_LOOK_INTERVAL_S: Final = 60.0


def _look() -> AutostartState | None:
    """None where the system has no way of starting anything."""
    try:
        return autostart().state()
    except AutostartFailed:
        return None


class AutostartLookout:
    """Looks at most once a minute, and only when asked."""

    def __init__(
        self, look: Callable[[], AutostartState | None] = _look, *, monotonic_s: Callable[[], float] = time.monotonic
    ) -> None:
        self._look = look
        self._monotonic_s = monotonic_s
        self._due_s = 0.0
        self._seen: AutostartState | None = None

    def seen(self) -> AutostartState | None:
        """The last look, None before the first; a next one begins when it is due."""
        if self._monotonic_s() >= self._due_s:
            self._due_s = self._monotonic_s() + _LOOK_INTERVAL_S
            # The system's tool may take its time, and nobody waits for this thread, not even at the end.
            threading.Thread(target=self._look_again, name="look at autostart", daemon=True).start()
        return self._seen

    def _look_again(self) -> None:
        try:
            self._seen = self._look()
        except Exception:
            logger.exception("Autostart could not be looked at")
