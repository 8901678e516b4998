"""Who works on sessions: one worker a session, a few on the machine, the others in the order they came."""

from collections.abc import Awaitable, Callable

from host.core.tasks import TaskSet


class Workers:
    """``work`` does a session's next piece of work and returns whether there was any.

    A session that has more to do lets those that wait go before it.
    """

    def __init__(self, work: Callable[[str], Awaitable[bool]], limit: int) -> None:
        self._work = work
        self._limit = limit
        self._tasks = TaskSet()
        # Whether it was woken since its worker last looked; a claimed one has no worker yet.
        self._served: dict[str, bool] = {}
        self._claimed: set[str] = set()
        self._waiting: dict[str, None] = {}
        self._is_stopping = False

    @property
    def waiting_count(self) -> int:
        """How many sessions have something to do and no worker."""
        return len(self._waiting)

    def claim(self, session_id: str) -> bool:
        """Whether the session is worked on, or can be at once. Its place is then kept until it is woken."""
        if session_id in self._served:
            return True
        if len(self._served) >= self._limit or self._waiting or self._is_stopping:
            return False
        self._served[session_id] = True
        self._claimed.add(session_id)
        return True

    def wake(self, session_id: str) -> None:
        """There may be work in the session."""
        if session_id in self._claimed:
            self._claimed.discard(session_id)
            self._start(session_id)
        elif session_id in self._served:
            self._served[session_id] = True
        else:
            self._waiting[session_id] = None
            self._admit()

    def stop(self) -> None:
        """Begin nothing new. What is being worked on goes on."""
        self._is_stopping = True

    async def finished(self) -> None:
        """Wait until nobody works."""
        await self._tasks.drain()

    async def cancel(self) -> None:
        await self._tasks.cancel()

    def _admit(self) -> None:
        while self._waiting and len(self._served) < self._limit and not self._is_stopping:
            session_id = next(iter(self._waiting))
            del self._waiting[session_id]
            self._start(session_id)

    def _start(self, session_id: str) -> None:
        self._served[session_id] = True
        self._tasks.spawn(self._serve(session_id), name="work on an agent's session")

    async def _serve(self, session_id: str) -> None:
        try:
            while self._served[session_id] and not self._is_stopping:
                self._served[session_id] = False
                if await self._work(session_id):
                    self._served[session_id] = True
                    if self._waiting:
                        break
        finally:
            has_more = self._served.pop(session_id)
            if has_more:
                self._waiting[session_id] = None
            self._admit()
