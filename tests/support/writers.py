"""Writers that write through faults, and know afterwards what must be there."""

import asyncio
import hashlib
import random
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from relay_stub.client import Message
from tests.support.retrying_phone import RetryingPhone

WRITERS: Final = 4
FAULTS: Final = 8
MAX_WRITES_BEFORE_FAULT: Final = 60


def etag_of(content: str) -> str:
    return f"sha256:{hashlib.sha256(content.encode()).hexdigest()}"


def is_unknown(answer: Message) -> bool:
    error: Message = answer.get("error", {})
    return (error.get("code"), error.get("details")) == ("UNKNOWN_ERROR", {"outcome": "unknown"})


@dataclass
class Progress:
    """What the writers and the killer know of each other."""

    daemon_kills: int = 0
    accepted: int = 0
    unknown: int = 0
    is_over: bool = False
    _moved: asyncio.Condition = field(default_factory=asyncio.Condition)

    async def count(self, answer: Message, *, kills_before: int) -> None:
        """One request has its outcome, which may be unknown only if the daemon was killed since it was sent."""
        if is_unknown(answer):
            assert self.daemon_kills > kills_before, f"Nobody killed the daemon, but: {answer}"
            self.unknown += 1
        else:
            assert answer["type"] == "fs_write_response", answer
            self.accepted += 1
        async with self._moved:
            self._moved.notify_all()

    async def until_accepted(self, more: int) -> None:
        wanted = self.accepted + more
        async with self._moved, asyncio.timeout(60):
            await self._moved.wait_for(lambda: self.accepted >= wanted)


@dataclass
class Writer:
    """Counts in one file, each step on condition of the one before; and makes a new file with each step.

    A write that is run a second time finds its condition broken, and its answer is ``CONFLICT``.
    """

    number: int
    phone: RetryingPhone
    progress: Progress
    step: int = 0
    accepted_files: dict[str, str] = field(default_factory=dict)
    unsure_files: set[str] = field(default_factory=set)

    @property
    def counter(self) -> str:
        return f"counter-{self.number}"

    async def run(self) -> None:
        etag = None
        while not self.progress.is_over:
            etag = await self._count_on(etag)
            await self._make_file()

    async def _count_on(self, etag: str | None) -> str | None:
        content = f"{self.number}:{self.step}"
        answer = await self._write({"path": self.counter, "content": content, "ifMatch": etag})
        if is_unknown(answer):
            # What is said to be done: look, and go on from there.
            found = await self.phone.ask("fs_read", {"path": self.counter})
            seen = found["payload"]["etag"] if found["type"] == "fs_read_response" else None
            assert seen in (etag, etag_of(content)), found
        else:
            seen = answer["payload"]["etag"]
            assert seen == etag_of(content)
        self.step += 1
        return seen

    async def _make_file(self) -> None:
        path, content = f"made-{self.number}-{self.step}", f"content of {self.number}:{self.step}\n" * 20
        answer = await self._write({"path": path, "content": content, "ifMatch": None})
        if is_unknown(answer):
            self.unsure_files.add(path)
        else:
            self.accepted_files[path] = content

    async def _write(self, payload: dict[str, object]) -> Message:
        kills_before = self.progress.daemon_kills
        answer = await self.phone.ask("fs_write", payload)
        await self.progress.count(answer, kills_before=kills_before)
        return answer


async def write_through(
    relay_url: str,
    project_id: str,
    fault: Callable[[Progress], Awaitable[None]],
    *,
    faults: Iterable[object] = range(FAULTS),
    writers: int = WRITERS,
) -> tuple[Progress, list[Writer]]:
    """Let writers write while there is one fault after the other in the middle of it, one for each of ``faults``."""
    progress = Progress()

    async def write(number: int) -> Writer:
        async with RetryingPhone.open(relay_url, "ada", project_id) as phone:
            writer = Writer(number, phone, progress)
            await writer.run()
        return writer

    async with asyncio.TaskGroup() as group:
        writing = [group.create_task(write(number)) for number in range(writers)]
        for _ in faults:
            await progress.until_accepted(random.randint(1, MAX_WRITES_BEFORE_FAULT))
            await fault(progress)
        await progress.until_accepted(writers)
        progress.is_over = True
    return progress, [task.result() for task in writing]


def check(root: Path, writers: list[Writer]) -> None:
    """Every accepted file is there with its content; beyond them only what is said to be unknown."""
    found = {entry.name: entry.read_text() for entry in root.iterdir() if entry.name.startswith("made-")}
    accepted = {path: content for writer in writers for path, content in writer.accepted_files.items()}
    unsure = {path for writer in writers for path in writer.unsure_files}
    assert {path: found.get(path) for path in accepted} == accepted
    assert found.keys() - accepted.keys() <= unsure
    others = {entry.name for entry in root.iterdir()} - found.keys() - {writer.counter for writer in writers}
    assert others == set()
