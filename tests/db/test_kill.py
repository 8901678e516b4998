"""What was acknowledged is there after kill -9; what was under way is never run again."""

import asyncio
import itertools
import random
import signal
import sys
from pathlib import Path

import pytest

from host.db.database import Database
from host.db.request_log import Finished, RequestLog
from host.protocol.errors import OutcomeUnknown

HASH = b"h" * 32

# Works on requests, eight at a time, and says what has become durable, until it is killed.
CHILD = """
import asyncio, itertools, sys
from pathlib import Path
from host.db.database import Database
from host.db.request_log import RequestLog

async def work(log, worker):
    for number in itertools.count():
        request_id = f"{worker}-{number}"
        await log.begin("user", request_id, b"h" * 32)
        print("begun", request_id, flush=True)
        await log.finish("user", request_id, request_id.encode())
        print("finished", request_id, flush=True)

async def main():
    log = RequestLog(await Database.open(Path(sys.argv[1])))
    await log.begin("user", "never finished", b"h" * 32)
    await asyncio.gather(*(work(log, worker) for worker in range(8)))

asyncio.run(main())
"""


async def acknowledged_until_killed(path: Path, lines: int) -> list[tuple[str, str]]:
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
    whole = [line.decode().split() for line in itertools.chain(read, rest) if line.endswith(b"\n")]
    return [(word, request_id) for word, request_id in whole]


async def check(path: Path, acknowledged: list[tuple[str, str]]) -> None:
    database = await Database.open(path)
    assert database.warnings == ()
    log = RequestLog(database)
    assert await log.recover() >= 1
    with pytest.raises(OutcomeUnknown):
        await log.begin("user", "never finished", HASH)
    finished = {request_id for word, request_id in acknowledged if word == "finished"}
    begun = {request_id for word, request_id in acknowledged if word == "begun"}
    for request_id in finished:
        assert await log.begin("user", request_id, HASH) == Finished(request_id.encode())
    for request_id in begun - finished:
        # The answer may have become durable just before its acknowledgement was lost.
        try:
            assert await log.begin("user", request_id, HASH) == Finished(request_id.encode())
        except OutcomeUnknown:
            continue
    await database.close()


async def test_kill_9_loses_nothing_that_was_acknowledged(tmp_path: Path) -> None:
    path = tmp_path / "daemon.db"
    await check(path, await acknowledged_until_killed(path, lines=50))


@pytest.mark.slow
async def test_kill_9_at_many_moments_loses_nothing_that_was_acknowledged(tmp_path: Path) -> None:
    for number in range(30):
        path = tmp_path / f"{number}.db"
        await check(path, await acknowledged_until_killed(path, lines=random.randint(1, 400)))
