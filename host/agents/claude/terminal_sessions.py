"""Claude Code's own store as a source of sessions."""

import asyncio
import os
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Executor
from pathlib import Path
from typing import Final, TypeVar

from host.agents.claude.live_registry import LiveRegistry
from host.agents.claude.store import SessionStore, StoredSession
from host.agents.claude.transcript import read_part
from host.agents.terminal import TerminalSession, TranscriptPart
from host.db.claude_project_dirs import ClaudeProjectDirs
from host.processes.login_shell import UserEnvironment

AGENT_NAME: Final = "claude"

ResultT = TypeVar("ResultT")


class ClaudeTerminalSessions:
    """See ``TerminalSessions`` and ``Transcripts``.

    ``environment`` is what the user's own Claude Code runs in, once it is known.
    """

    def __init__(
        self, environment: "asyncio.Future[UserEnvironment]", executor: Executor, memory: ClaudeProjectDirs
    ) -> None:
        self._environment = environment
        self._memory = memory
        self._executor = executor
        self._places: tuple[SessionStore, LiveRegistry] | None = None

    async def list(self, root: Path) -> Sequence[TerminalSession]:
        def look(store: SessionStore, registry: LiveRegistry) -> list[TerminalSession]:
            busy = registry.busy()
            return [_known(session, busy) for session in store.sessions(root)]

        store, _ = await self._found()
        directory = store.directory(root)
        if not store.knows(directory):
            store.recall(directory, await self._memory.load(directory))
        sessions = await self._look(look)
        if (memory := store.memory(directory)) is not None:
            await self._memory.store(directory, memory)
        return sessions

    async def find(self, root: Path, agent_session_id: str) -> TerminalSession | None:
        def look(store: SessionStore, registry: LiveRegistry) -> TerminalSession | None:
            session = store.session(root, agent_session_id)
            return None if session is None else _known(session, registry.busy())

        return await self._look(look)

    async def read_on(self, root: Path, agent_session_id: str, position: bytes) -> TranscriptPart | None:
        def look(store: SessionStore, registry: LiveRegistry) -> TranscriptPart | None:
            # Who has begun to read knows that the session is one of this directory.
            if not position and store.session(root, agent_session_id) is None:
                return None
            path = store.transcript(root, agent_session_id)
            return read_part(path, root, position, is_busy=lambda: agent_session_id in registry.busy())

        return await self._look(look)

    async def _look(self, look: Callable[[SessionStore, LiveRegistry], ResultT]) -> ResultT:
        """Blocking work on the two, in a thread."""
        return await asyncio.get_running_loop().run_in_executor(self._executor, look, *await self._found())

    async def _found(self) -> tuple[SessionStore, LiveRegistry]:
        if self._places is None:
            directory = config_directory((await asyncio.shield(self._environment)).variables)
            self._places = SessionStore(directory / "projects"), LiveRegistry(directory / "sessions")
        return self._places


def config_directory(environment: Mapping[str, str]) -> Path:
    """Where Claude Code that runs in this environment keeps its things."""
    chosen = environment.get("CLAUDE_CONFIG_DIR")
    return Path(chosen) if chosen else Path(environment.get("HOME") or os.path.expanduser("~"), ".claude")


def _known(session: StoredSession, busy: Mapping[str, str]) -> TerminalSession:
    return TerminalSession(
        agent_session_id=session.session_id,
        agent=AGENT_NAME,
        title=session.title,
        created_at=session.created_at,
        last_activity_at=session.last_activity_at,
        message_count=session.message_count,
        busy_in=busy.get(session.session_id),
    )
