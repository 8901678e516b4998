"""What was done in a terminal comes into the log: once, in order, under numbers that never change."""

import asyncio
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Final

import msgspec
import pytest

from host.agents.claude.store import WORTH_KEEPING
from host.agents.claude.terminal_sessions import ClaudeTerminalSessions, config_directory
from host.agents.importing import TranscriptImport
from host.db.agent_sessions import NewSession, add_session, log_events
from host.db.claude_project_dirs import ClaudeProjectDirs
from host.db.database import Database
from host.db.event_log import EventLog
from host.processes.login_shell import UserEnvironment
from host.protocol.errors import SessionNotFound
from host.protocol.messages.agent_events import Text, TurnDone
from tests.agents.claude.transcripts import Writer, text

PROJECT: Final = "proj_0123456789abcdef"
OTHER_PROJECT: Final = "proj_fedcba9876543210"
ROOT: Final = Path("/home/ada/project")


class Roots:
    async def root_of(self, project_id: str) -> Path:
        return ROOT


class World:
    """A store of Claude Code's, a log, and what brings the one into the other."""

    def __init__(self, home: Path, database: Database, executor: ThreadPoolExecutor) -> None:
        self.environment: asyncio.Future[UserEnvironment] = asyncio.get_running_loop().create_future()
        self.environment.set_result(UserEnvironment({"HOME": str(home)}))
        self.executor = executor
        self.database = database
        self.writer = Writer(home / ".claude" / "projects", ROOT)
        self.log = EventLog(database)
        self.terminal = ClaudeTerminalSessions(self.environment, executor, ClaudeProjectDirs(database))
        self.source = TranscriptImport(self.terminal, Roots(), database)

    @property
    def stream(self) -> str:
        return f"agent:{self.writer.session_id}"

    async def events(self, *, project_id: str = PROJECT) -> list[Any]:
        """The payloads of all that is in the log, after the import."""
        await self.source.prepare(self.stream, project_id)
        page = await self.log.read(self.stream, project_id, after_seq=0, limit=1000)
        payloads = [msgspec.json.decode(event.payload) for event in page.events]
        assert [payload["seq"] for payload in payloads] == [event.seq for event in page.events]
        assert [payload["type"] for payload in payloads] == [event.type for event in page.events]
        assert [event.seq for event in page.events] == list(range(1, len(payloads) + 1))
        return payloads

    async def types(self) -> list[str]:
        return [event["type"] for event in await self.events()]


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    database = await Database.open(tmp_path / "daemon.db")
    with ThreadPoolExecutor(2) as executor:
        yield World(tmp_path, database, executor)
    await database.close()


async def test_a_session_is_read_as_if_it_had_been_ours(world: World) -> None:
    turn_id = world.writer.prompt("Mend it")
    world.writer.answer(text("Mended."))
    said, answered, done = await world.events()
    assert said == {
        "type": "user",
        "agentSessionId": world.writer.session_id,
        "turnId": turn_id,
        "seq": 1,
        "at": "2026-02-12T10:00:00.000Z",
        "content": "Mend it",
    }
    assert (answered["text"], answered["at"]) == ("Mended.", "2026-02-12T10:00:01.000Z")
    assert (done["type"], done["reason"], done["durationMs"]) == ("done", "completed", 1000)


async def test_what_is_new_is_added_and_numbers_never_change(world: World) -> None:
    world.writer.prompt("One")
    world.writer.answer(text("First."))
    before = await world.events()
    assert await world.events() == before
    world.writer.prompt("Two")
    after = await world.events()
    assert after[: len(before)] == before
    assert [event["type"] for event in after[len(before) :]] == ["user"]
    lines = world.writer.path.read_bytes().splitlines(keepends=True)
    world.writer.path.write_bytes(b"".join(lines[1:]))
    assert await world.events() == after


async def test_readers_at_the_same_time_import_once(world: World) -> None:
    for number in range(100):
        world.writer.prompt(f"Prompt {number}")
    results = await asyncio.gather(*(world.events() for _ in range(10)))
    assert all(len(result) == 199 for result in results)


async def test_what_we_drove_ourselves_is_not_told_twice(world: World) -> None:
    session_id = world.writer.session_id
    world.writer.entrypoint = "pocketcoder"
    turn_id = world.writer.prompt("Ours")
    world.writer.answer(text("Done."))

    def drive(connection: Any) -> None:
        new = NewSession(session_id, PROJECT, "claude", "Ours", "2026-02-12T10:00:00.000Z")
        session = add_session(connection, new)
        events = [Text(text="Done."), TurnDone(reason="completed", duration_ms=1)]
        log_events(connection, session, turn_id, events, "2026-02-12T10:00:01.000Z")

    await world.database.write(drive)
    assert await world.types() == ["text", "done"]
    world.writer.entrypoint = "cli"
    world.writer.prompt("In the terminal")
    world.writer.answer(text("Yes."))
    assert await world.types() == ["text", "done", "user", "text", "done"]


async def test_what_another_daemon_drove_is_told(world: World) -> None:
    world.writer.entrypoint = "pocketcoder"
    world.writer.prompt("Before the database was lost")
    assert await world.types() == ["user"]


async def test_a_session_of_another_directory_is_none_of_this_project(world: World) -> None:
    alike = Writer(world.writer.projects, Path("/home/ada.project"), world.writer.session_id)
    alike.prompt("Secret")
    assert alike.path == world.writer.path
    with pytest.raises(SessionNotFound):
        await world.events()


async def test_a_session_that_is_another_projects_already_stays_so(world: World) -> None:
    world.writer.prompt("One")
    await world.events()
    world.writer.prompt("Two")
    with pytest.raises(SessionNotFound):
        await world.events(project_id=OTHER_PROJECT)


@pytest.mark.parametrize(
    "stream", ["command:1", "agent:../../x", "agent:", "agent:00000000-0000-4000-8000-000000000000"]
)
async def test_a_stream_that_no_transcript_tells_of_is_left_alone(world: World, stream: str) -> None:
    await world.source.prepare(stream, PROJECT)
    count = await world.database.read(lambda connection: connection.execute("SELECT count(*) FROM streams").fetchone())
    assert count == (0,)


async def test_a_long_answer_is_cut_to_what_the_log_holds(world: World) -> None:
    world.writer.prompt("One")
    world.writer.answer(text("x" * 1_000_000))
    _, answer, _ = await world.events()
    assert answer["truncated"] is True
    assert 0 < len(answer["text"]) <= 256 * 1024


async def test_a_listing_is_remembered_in_the_database(world: World) -> None:
    for _ in range(WORTH_KEEPING):
        Writer(world.writer.projects, ROOT).prompt("One")
    sessions = await world.terminal.list(ROOT)
    assert len(sessions) == WORTH_KEEPING
    memory = await ClaudeProjectDirs(world.database).load(world.writer.path.parent)
    assert sessions[0].agent_session_id.encode() in memory
    again = ClaudeTerminalSessions(world.environment, world.executor, ClaudeProjectDirs(world.database))
    assert await again.list(ROOT) == sessions


@pytest.mark.parametrize(
    ("environment", "directory"),
    [
        ({"HOME": "/home/ada"}, "/home/ada/.claude"),
        ({"HOME": "/home/ada", "CLAUDE_CONFIG_DIR": "/etc/claude"}, "/etc/claude"),
        ({"HOME": "/home/ada", "CLAUDE_CONFIG_DIR": ""}, "/home/ada/.claude"),
    ],
)
def test_the_store_is_where_the_users_own_claude_has_it(environment: dict[str, str], directory: str) -> None:
    assert config_directory(environment) == Path(directory)
