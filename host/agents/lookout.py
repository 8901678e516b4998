"""What is known of an agent's program without anybody waiting for it."""

from collections.abc import Awaitable, Callable

from host.agents.claude.inspection import ClaudeStatus
from host.core.tasks import TaskSet


class Lookout:
    """``look`` decides how old a look may be; it is taken beside whoever asks."""

    def __init__(self, look: Callable[[], Awaitable[ClaudeStatus]]) -> None:
        self._look = look
        self._looking = TaskSet()
        self._seen = ClaudeStatus()
        self._listeners: list[Callable[[], None]] = []

    def on_new_version(self, listener: Callable[[], None]) -> None:
        """``listener`` is called when another version is found, or none any more."""
        self._listeners.append(listener)

    def seen(self) -> ClaudeStatus:
        """The last look; a next one begins unless one is under way."""
        if not self._looking:
            self._looking.spawn(self._look_again(), name="look at an agent's program")
        return self._seen

    async def close(self) -> None:
        await self._looking.cancel()

    async def _look_again(self) -> None:
        before, self._seen = self._seen, await self._look()
        if self._seen.version != before.version:
            for listener in self._listeners:
                listener()
