"""kill -9 in the middle of writes: old content or new, whole; and after the next start no temporary file."""

import asyncio
import random
import signal
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from host.db.command_runs import CommandRuns
from host.db.database import Database
from host.db.request_log import RequestLog, UnfinishedRequest
from host.files.handlers import FileHandlers
from host.files.service import ProjectFiles
from host.files.temporary import temporary_name
from host.protocol.errors import OutcomeUnknown, ProjectNotFound
from host.upkeep import settle_unfinished

SIZE_BYTES = 300_000
KILLS = 25

# Writes as the daemon does, several files at a time, and says when it has begun to, until it is killed.
CHILD = """
import asyncio, itertools, sys, uuid
from pathlib import Path
import msgspec
from host.core.requests import RouteTable
from host.db.command_runs import CommandRuns
from host.db.database import Database
from host.db.request_log import RequestLog
from host.files.handlers import FileHandlers
from host.files.service import ProjectFiles
from host.protocol.envelope import Envelope
from host.relay.router import RequestRouter

root = Path(sys.argv[2])

class Parts:
    async def root_of(self, project_id): return root
    async def require_root(self, project_id): return root
    def offer(self, frame): return True
    async def put(self, frame):
        assert b'"error"' not in frame, frame
        print("written", flush=True)
        return True

async def main():
    log = RequestLog(await Database.open(Path(sys.argv[1])))
    table = RouteTable()
    FileHandlers(ProjectFiles(), Parts(), lambda project_id: 0).register(table)
    router = RequestRouter(table, projects=Parts(), log=log, user_id=lambda: "user", outbox=Parts())
    for number in itertools.count():
        for path in ("old", f"d{number}/new", "l/old"):
            payload = {"path": path, "content": str(number % 10) * int(sys.argv[3]), "createDirs": True}
            if path.endswith("new"):
                payload["ifMatch"] = None
            raw = msgspec.Raw(msgspec.json.encode(payload))
            router.accept(Envelope("fs_write", request_id=str(uuid.uuid4()), session_id="p", reply_to="c", payload=raw))
        await router.finished()

asyncio.run(main())
"""


@dataclass
class OneProject:
    root: Path

    async def root_of(self, project_id: str) -> Path:
        if project_id != "p":
            raise ProjectNotFound
        return self.root


def handlers(root: Path) -> FileHandlers:
    return FileHandlers(ProjectFiles(), OneProject(root), lambda _: 0)


def left(root: Path) -> list[Path]:
    return list(root.rglob(".pocketcoder-*"))


async def write_until_killed(database: Path, root: Path, writes: int, delay_s: float) -> None:
    child = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", CHILD, str(database), str(root), str(SIZE_BYTES)),
        stdout=asyncio.subprocess.PIPE,
        cwd=Path(__file__).parents[2],
    )
    assert child.stdout is not None
    async with asyncio.timeout(30):
        for _ in range(writes):
            assert await child.stdout.readline() == b"written\n"
        # Any moment of a write will do.
        await asyncio.sleep(delay_s)
        child.kill()
        await child.stdout.read()
        assert await child.wait() == -signal.SIGKILL


async def settle(database: Path, root: Path) -> list[UnfinishedRequest]:
    opened = await Database.open(database)
    log = RequestLog(opened)
    unfinished = await log.unfinished()
    await settle_unfinished(log, CommandRuns(opened), handlers(root))
    assert await log.unfinished() == []
    await opened.close()
    return unfinished


@pytest.mark.slow
@pytest.mark.timeout(180)
async def test_writes_that_are_killed_leave_whole_files_and_nothing_else(tmp_path: Path, root: Path) -> None:
    (root / "target").mkdir()
    (root / "l").symlink_to("target")
    cut_off = temporaries = 0
    for _ in range(KILLS):
        await write_until_killed(tmp_path / "daemon.db", root, random.randint(1, 6), random.random() / 50)
        temporaries += len(left(root))
        cut_off += len(await settle(tmp_path / "daemon.db", root))
        assert left(root) == []
        for file in (path for path in root.rglob("*") if path.is_file()):
            content = file.read_bytes()
            assert content == content[:1] * SIZE_BYTES, file
        for made in root.glob("d*"):
            assert [path.name for path in made.iterdir()] in (["new"], [])
            for path in made.iterdir():
                path.unlink()
            made.rmdir()
    # Else it would not have shown anything.
    assert cut_off > 0
    assert temporaries > 0


async def test_what_a_killed_write_left_is_removed_where_the_write_would_have_been(tmp_path: Path, root: Path) -> None:
    (root / "d").mkdir()
    (root / "l").symlink_to("d")
    (root / "to-f").symlink_to("l/f")
    opened = await Database.open(tmp_path / "daemon.db")
    log = RequestLog(opened)
    places = {"f": "", "l/f": "d/", "to-f": "d/", "d/new": "d/"}
    for path, directory in places.items():
        await log.begin("user", path, b"h" * 32, "fs_write", "p", path)
        (root / f"{directory}{temporary_name('user', path)}").write_text("half of")
    # Of others, or of nobody any more: none of them stands in the way of the rest.
    of_others = root / temporary_name("user", "running elsewhere")
    of_others.touch()
    await log.begin("user", "1", b"h" * 32, "fs_write", "gone", "f")
    await log.begin("user", "2", b"h" * 32, "fs_write", "p", "missing/f")
    await log.begin("user", "3", b"h" * 32, "fs_write", "p", "../outside/f")
    await log.begin("user", "4", b"h" * 32, "fs_write", "p", "")
    await log.begin("user", "5", b"h" * 32, "fs_write", "p", None)
    await log.begin("user", "6", b"h" * 32, "fs_delete", "p", "f")
    outside = root.parent / "outside" / temporary_name("user", "3")
    outside.touch()

    await settle_unfinished(log, CommandRuns(opened), handlers(root))

    assert left(root) == [of_others]
    assert outside.exists()
    with pytest.raises(OutcomeUnknown):
        await log.begin("user", "f", b"h" * 32)
    await opened.close()


async def test_a_start_that_is_killed_while_it_cleans_up_begins_anew(tmp_path: Path, root: Path) -> None:
    class Killed(BaseException):
        pass

    class Dying(OneProject):
        async def root_of(self, project_id: str) -> Path:
            raise Killed

    opened = await Database.open(tmp_path / "daemon.db")
    log = RequestLog(opened)
    await log.begin("user", "r", b"h" * 32, "fs_write", "p", "f")
    (root / temporary_name("user", "r")).touch()
    with pytest.raises(Killed):
        await settle_unfinished(log, CommandRuns(opened), FileHandlers(ProjectFiles(), Dying(root), lambda _: 0))
    await settle_unfinished(log, CommandRuns(opened), handlers(root))
    assert left(root) == []
    await opened.close()
