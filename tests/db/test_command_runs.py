"""A run has one stream and one end, whatever becomes of the daemon."""

import json
from pathlib import Path
from typing import Any

import pytest

from host.core.clock import rfc3339
from host.db.command_runs import CommandRuns, RunEnd
from host.db.database import Database
from host.db.event_log import EventLog
from host.protocol.errors import InvalidRequest, SessionNotFound
from host.protocol.limits import MAX_COMMAND_CHARS, MAX_PAGE_BYTES
from host.protocol.messages.base import encode_payload
from host.protocol.messages.commands import CommandRun
from tests.support.command_runs import EXITED, Chunk, FakeClock

PROJECT = "proj_1"


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def runs(database: Database, clock: FakeClock) -> CommandRuns:
    return CommandRuns(database, clock=clock)


async def start(runs: CommandRuns, request_id: str, *, project_id: str = PROJECT, command: str = "make") -> None:
    await runs.start("user", project_id, request_id, command)


async def logged(database: Database, request_id: str) -> list[tuple[str, dict[str, Any]]]:
    """The types and payloads in a run's stream."""
    page = await EventLog(database).read(f"command:{request_id}", PROJECT, after_seq=0, limit=1000)
    return [(event.type, json.loads(bytes(event.payload))) for event in page.events]


async def listed(runs: CommandRuns, *, project_id: str = PROJECT, before: str | None = None) -> list[str]:
    page = await runs.list(project_id, limit=50, before=before)
    return [run.request_id for run in page.runs]


async def test_output_and_end_are_logged_as_they_are_to_be_sent(runs: CommandRuns, database: Database) -> None:
    await start(runs, "r")
    sent = await runs.append("r", [Chunk("Grüße\n"), Chunk("\0", "stderr")])
    end = await runs.finish("r", RunEnd("exited", 2, None, duration_ms=7, truncated=True, output_tail="tail"))
    expected: list[tuple[str, dict[str, Any]]] = [
        ("command_output", {"requestId": "r", "seq": 1, "stdoutChunk": "Grüße\n"}),
        ("command_output", {"requestId": "r", "seq": 2, "stderrChunk": "\0"}),
        (
            "command_exit",
            {
                "requestId": "r",
                "seq": 3,
                "reason": "exited",
                "exitCode": 2,
                "signal": None,
                "durationMs": 7,
                "truncated": True,
                "outputTail": "tail",
            },
        ),
    ]
    assert await logged(database, "r") == expected
    assert [json.loads(bytes(encode_payload(event))) for event in (*sent, end)] == [event for _, event in expected]


async def test_a_run_that_wrote_nothing_has_an_end_all_the_same(runs: CommandRuns, database: Database) -> None:
    await start(runs, "r")
    await runs.finish("r", EXITED)
    ((kind, payload),) = await logged(database, "r")
    assert (kind, payload["seq"]) == ("command_exit", 1)
    assert "outputTail" not in payload


async def test_a_run_is_shown_while_it_runs_and_when_it_has_ended(runs: CommandRuns, clock: FakeClock) -> None:
    started_at = rfc3339(clock.now_s)
    await start(runs, "r", command="sleep 9")
    await runs.append("r", [Chunk("one "), Chunk("two", "stderr")])
    assert await runs.get(PROJECT, "r") == CommandRun(
        "r", "sleep 9", started_at, None, None, None, None, truncated=False, output_preview="one two"
    )
    clock.now_s += 3
    await runs.finish("r", RunEnd("cancelled", None, "SIGKILL", duration_ms=3000, truncated=True))
    ended = CommandRun(
        "r", "sleep 9", started_at, rfc3339(clock.now_s), "cancelled", None, "SIGKILL", True, output_preview="one two"
    )
    assert await runs.get(PROJECT, "r") == ended
    assert (await runs.list(PROJECT, limit=1, before=None)).runs == [ended]


async def test_the_preview_is_the_first_200_characters_of_output(runs: CommandRuns) -> None:
    await start(runs, "r")
    for chunks in ([Chunk("ü\0" * 60), Chunk("e" * 70, "stderr")], [Chunk("x" * 500)] * 2):
        await runs.append("r", chunks)
    assert (await runs.get(PROJECT, "r")).output_preview == "ü\0" * 60 + "e" * 70 + "x" * 10


async def test_after_its_end_nothing_can_be_added_to_a_run(runs: CommandRuns, database: Database) -> None:
    await start(runs, "r")
    await runs.finish("r", EXITED)
    for change in (runs.append("r", [Chunk("late")]), runs.finish("r", EXITED), runs.discard("r")):
        with pytest.raises(LookupError):
            await change
    assert [kind for kind, _ in await logged(database, "r")] == ["command_exit"]


async def test_an_id_is_taken_as_long_as_its_run_is_kept_whoever_ran_it(runs: CommandRuns) -> None:
    await start(runs, "r")
    await runs.finish("r", EXITED)
    for user_id, project_id in (("user", PROJECT), ("somebody else", PROJECT), ("somebody else", "proj_2")):
        with pytest.raises(InvalidRequest, match="requestId"):
            await runs.start(user_id, project_id, "r", "make")


async def test_a_run_that_came_to_nothing_leaves_nothing(runs: CommandRuns, database: Database) -> None:
    await start(runs, "r")
    await runs.discard("r")
    with pytest.raises(SessionNotFound):
        await runs.get(PROJECT, "r")
    with pytest.raises(SessionNotFound):
        await logged(database, "r")
    await start(runs, "r")


async def test_an_unknown_run_and_another_projects_are_not_found(runs: CommandRuns) -> None:
    await start(runs, "r")
    for project_id, request_id in (("proj_2", "r"), (PROJECT, "s")):
        with pytest.raises(SessionNotFound):
            await runs.get(project_id, request_id)
        with pytest.raises(SessionNotFound):
            await runs.list(project_id, limit=1, before=request_id)


async def test_runs_are_listed_in_pages_from_the_last_one_started(runs: CommandRuns) -> None:
    # All in the same millisecond, and other streams in between.
    for number in range(5):
        await start(runs, f"{number}")
        await start(runs, f"other {number}", project_id="proj_2")
    first = await runs.list(PROJECT, limit=2, before=None)
    assert ([run.request_id for run in first.runs], first.more) == (["4", "3"], True)
    second = await runs.list(PROJECT, limit=2, before="3")
    assert ([run.request_id for run in second.runs], second.more) == (["2", "1"], True)
    last = await runs.list(PROJECT, limit=2, before="1")
    assert ([run.request_id for run in last.runs], last.more) == (["0"], False)
    assert (await runs.list(PROJECT, limit=5, before=None)).more is False
    assert (await runs.list("proj_3", limit=5, before=None)).runs == []


async def test_a_page_of_runs_ends_at_4_mb_of_commands(runs: CommandRuns) -> None:
    a_page = MAX_PAGE_BYTES // MAX_COMMAND_CHARS
    for number in range(a_page + 1):
        await start(runs, f"{number}", command="x" * MAX_COMMAND_CHARS)
    page = await runs.list(PROJECT, limit=1000, before=None)
    assert (len(page.runs), page.more) == (a_page, True)
    assert await listed(runs, before=page.runs[-1].request_id) == ["0"]


async def test_what_ran_when_the_daemon_ended_is_interrupted_once(
    tmp_path: Path, runs: CommandRuns, database: Database, clock: FakeClock
) -> None:
    for request_id in ("silent", "talking", "ended"):
        await start(runs, request_id)
    clock.now_s += 2.5
    await runs.append("talking", [Chunk("a"), Chunk("b")])
    await runs.finish("ended", EXITED)
    await database.close()

    clock.now_s += 3600
    again = await Database.open(tmp_path / "daemon.db")
    runs = CommandRuns(again, clock=clock)
    assert [await runs.interrupt_unfinished() for _ in range(2)] == [2, 0]
    for request_id, seq, duration_ms in (("silent", 1, 0), ("talking", 3, 2500)):
        assert (await logged(again, request_id))[-1] == (
            "command_exit",
            {
                "requestId": request_id,
                "seq": seq,
                "reason": "interrupted",
                "exitCode": None,
                "signal": None,
                "durationMs": duration_ms,
                "truncated": False,
            },
        )
        run = await runs.get(PROJECT, request_id)
        assert (run.reason, run.ended_at) == ("interrupted", rfc3339(clock.now_s))
    assert (await runs.get(PROJECT, "ended")).reason == "exited"
    await again.close()


async def test_a_clock_that_was_set_back_makes_no_negative_duration(
    runs: CommandRuns, database: Database, clock: FakeClock
) -> None:
    await start(runs, "r")
    clock.now_s -= 60
    await runs.append("r", [Chunk("a")])
    await runs.interrupt_unfinished()
    assert (await logged(database, "r"))[-1][1]["durationMs"] == 0
