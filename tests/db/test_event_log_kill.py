"""What was acknowledged is in the log after kill -9, and the log has no hole; every run gets its end."""

import asyncio
import itertools
import json
import random
import signal
import sys
from collections import Counter
from pathlib import Path

import pytest

from host.db.command_runs import CommandRuns
from host.db.database import Database
from host.db.event_log import EventLog
from host.protocol.messages.events import LoggedEvent

RUNS = 8
PROJECT = "proj_1"

# Eight runs write, in batches of different sizes, and say what has become durable, until it is killed.
CHILD = """
import asyncio, itertools, sys
from dataclasses import dataclass
from pathlib import Path
from host.db.command_runs import CommandRuns
from host.db.database import Database

@dataclass
class Chunk:
    channel: str
    text: str

async def work(runs, run):
    await runs.start("user", "proj_1", run, "true")
    for number in itertools.count():
        for event in await runs.append(run, [Chunk("stdout", "x" * number)] * (1 + number % 3)):
            print(run, event.seq, flush=True)

async def main():
    runs = CommandRuns(await Database.open(Path(sys.argv[1])))
    await asyncio.gather(*(work(runs, str(run)) for run in range(8)))

asyncio.run(main())
"""


async def acknowledged_until_killed(path: Path, lines: int) -> Counter[str]:
    """The highest number of each run that was said to be durable."""
    child = await asyncio.create_subprocess_exec(
        sys.executable, "-c", CHILD, str(path), stdout=asyncio.subprocess.PIPE, cwd=Path(__file__).parents[2]
    )
    assert child.stdout is not None
    async with asyncio.timeout(30):
        read = [await child.stdout.readline() for _ in range(lines)]
        child.kill()
        # What was printed before the kill counts too; the last line may be torn.
        rest = (await child.stdout.read()).splitlines(keepends=True)
        assert await child.wait() == -signal.SIGKILL
    acknowledged: Counter[str] = Counter()
    for line in itertools.chain(read, rest):
        if line.endswith(b"\n"):
            run, seq = line.decode().split()
            assert int(seq) == acknowledged[run] + 1
            acknowledged[run] = int(seq)
    return acknowledged


async def all_events(log: EventLog, run: str) -> list[LoggedEvent]:
    events: list[LoggedEvent] = []
    while True:
        page = await log.read(f"command:{run}", PROJECT, after_seq=len(events), limit=1000)
        events += page.events
        if not page.more:
            assert page.last_seq == len(events)
            return events


async def check(path: Path, acknowledged: Counter[str]) -> None:
    database = await Database.open(path)
    assert database.warnings == ()
    assert await CommandRuns(database).interrupt_unfinished() == RUNS
    log = EventLog(database)
    for run in map(str, range(RUNS)):
        events = await all_events(log, run)
        assert [event.seq for event in events] == list(range(1, len(events) + 1))
        payloads = [json.loads(bytes(event.payload)) for event in events]
        assert [payload["seq"] for payload in payloads] == [event.seq for event in events]
        assert [event.type for event in events] == ["command_output"] * (len(events) - 1) + ["command_exit"]
        assert payloads[-1]["reason"] == "interrupted"
        assert len(events) - 1 >= acknowledged[run]
        # A batch is there whole or not at all: 1, 2, 3, 1, 2, 3 … events.
        assert (len(events) - 1) % 6 in (0, 1, 3)
    await database.close()


async def test_kill_9_loses_nothing_that_was_acknowledged_and_leaves_no_hole(tmp_path: Path) -> None:
    path = tmp_path / "daemon.db"
    await check(path, await acknowledged_until_killed(path, lines=100))


@pytest.mark.slow
async def test_kill_9_at_many_moments_loses_nothing_and_leaves_no_hole(tmp_path: Path) -> None:
    for number in range(30):
        path = tmp_path / f"{number}.db"
        await check(path, await acknowledged_until_killed(path, lines=random.randint(50, 2000)))
