"""The sign-ins behind the connections that are open now."""

from collections import Counter
from collections.abc import Callable


class LiveSessions:
    """``enter`` for each connection; what it returns is called once, when the connection leaves its session."""

    def __init__(self) -> None:
        self._connections: Counter[tuple[str, str]] = Counter()

    def enter(self, user_id: str, session_id: str) -> Callable[[], None]:
        key = (user_id, session_id)
        self._connections[key] += 1

        def leave() -> None:
            self._connections[key] -= 1
            if self._connections[key] == 0:
                del self._connections[key]

        return leave

    def all(self) -> list[tuple[str, str]]:
        """User and session of each."""
        return list(self._connections)
