"""A watcher that sees what the test tells it."""

from collections.abc import Sequence
from pathlib import Path

from host.watch.port import RUNNING, STARTING, Change, WatchListener, WatchState


class ToldWatch:
    def __init__(self, listener: WatchListener) -> None:
        self._listener = listener
        self.state = STARTING
        self.is_stopped = False

    def run(self) -> None:
        """Begin to see, as a watch does when it has looked at all that is there."""
        self.become(RUNNING)
        self._listener.lost()

    def become(self, state: WatchState) -> None:
        self.state = state
        self._listener.state_changed(state)

    def see(self, *changes: Change) -> None:
        assert not self.is_stopped
        self._listener.changed(changes)

    def lose(self) -> None:
        self._listener.lost()

    def see_git(self) -> None:
        self._listener.git_changed()

    def stop(self) -> None:
        self.is_stopped = True


class ToldWatcher:
    """Implements Watcher; ``watches`` by root, the stopped ones too."""

    def __init__(self) -> None:
        self.watches: dict[Path, ToldWatch] = {}
        self.is_closed = False

    def watch(self, root: Path, listener: WatchListener) -> ToldWatch:
        assert not self.is_closed
        watch = self.watches[root] = ToldWatch(listener)
        return watch

    async def close(self) -> None:
        assert all(watch.is_stopped for watch in self.watches.values())
        self.is_closed = True


def created(*paths: str) -> Sequence[Change]:
    return [Change("create", path, is_dir=False) for path in paths]
