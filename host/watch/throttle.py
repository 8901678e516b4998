"""When ``git_changed`` is due. Pure: it is told what time it is."""

from host.protocol.limits import CHANGES_QUIET_S, GIT_CHANGED_INTERVAL_S


class GitThrottle:
    """What one command of git does in a moment is told once, at most once a second, and the last of it always."""

    def __init__(self) -> None:
        self._due_s: float | None = None
        self._earliest_s = float("-inf")

    @property
    def due_s(self) -> float | None:
        """When to tell; None while there is nothing to tell."""
        return self._due_s

    def note(self, now_s: float) -> None:
        """Note that git's files changed."""
        if self._due_s is None:
            self._due_s = max(now_s + CHANGES_QUIET_S, self._earliest_s)

    def take(self, now_s: float) -> None:
        """It is told now."""
        self._due_s = None
        self._earliest_s = now_s + GIT_CHANGED_INTERVAL_S
