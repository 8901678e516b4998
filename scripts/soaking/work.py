"""What goes on during a soak besides writing: commands that flood, edits, phones that come and go."""

import asyncio
import itertools
import random
import shutil
import time
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final
from uuid import uuid4

import aiohttp

from relay_stub.client import ClientError, Message, RelayClient
from scripts.soaking.world import USER, World
from tests.support.batches import SeenBatches
from tests.support.retrying_phone import RetryingPhone
from tests.support.writers import is_unknown

# Ended by itself after a second, so that a phone that lost it has its answer within the relay's time.
_FLOOD: Final = "timeout 1 yes 'a line that comes as often as it can'; exit 7"
_FLOOD_LIMIT_MS: Final = 3000
_KEPT_EDITS: Final = 200
_BURST_FILES: Final = 1000
_STAY_S: Final = (0.5, 6.0)


@dataclass
class Work:
    """Runs until the world is over. Raises AssertionError for what may not be."""

    world: World
    batches: SeenBatches = field(default_factory=SeenBatches)
    floods: int = 0
    unsure_floods: int = 0
    visits: int = 0

    async def flood(self) -> None:
        """One command after the other; each has an end, and a log without a gap."""
        async with RetryingPhone.open(self.world.relay.url, USER, self.world.watched.project_id) as phone:
            while not self.world.is_over:
                kills, request_id = self.world.daemon_kills, str(uuid4())
                command = {"command": _FLOOD, "timeoutMs": _FLOOD_LIMIT_MS}
                answer = await phone.ask("command_exec", command, request_id=request_id)
                self.floods += 1
                if is_unknown(answer):
                    assert self.world.daemon_kills > kills, f"Nobody killed the daemon, but: {answer}"
                    self.unsure_floods += 1
                else:
                    _check_end(answer)
                await _check_log(phone, request_id)
                await asyncio.sleep(random.uniform(0, 2))

    async def edit(self) -> None:
        """A file made, one changed and one deleted at a time; now and then as much at once as git would do."""
        root = self.world.watched.root
        for number in itertools.count():
            if self.world.is_over:
                return
            # Names that never come again: so a batch's number that does would be seen.
            await asyncio.to_thread(_edit, root, number)
            if number % 100 == 50:
                burst = root / f"burst-{number}"
                await asyncio.to_thread(_make_burst, burst)
                await asyncio.sleep(3)
                await asyncio.to_thread(shutil.rmtree, burst)
            await asyncio.sleep(random.uniform(0, 0.3))

    async def come_and_go(self) -> None:
        """One phone after the other: signs in, lists, listens for a while, leaves."""
        while not self.world.is_over:
            with suppress(ClientError, aiohttp.ClientError, ConnectionError, TimeoutError):
                async with RelayClient.sign_in(self.world.relay.url, USER) as phone:
                    await self._visit(phone)
            await asyncio.sleep(random.uniform(0, 1))

    async def _visit(self, phone: RelayClient) -> None:
        project_id = self.world.watched.project_id
        await phone.join(project_id)
        listener = self.batches.listener()
        self.visits += 1
        listing = asyncio.create_task(phone.request("fs_list", {"path": ""}, session_id=project_id))
        ends_s = time.monotonic() + random.uniform(*_STAY_S)
        try:
            with suppress(TimeoutError):
                async with asyncio.timeout_at(asyncio.get_running_loop().time() + ends_s - time.monotonic()):
                    while True:
                        event = await phone.events.get()
                        if event["type"] == "fs_changed":
                            listener.hear(event["payload"])
        finally:
            listing.cancel()
            await asyncio.gather(listing, return_exceptions=True)


def _check_end(answer: Message) -> None:
    """Of a flood: it was cut off by a fault that the daemon knows of, or it ended as it does."""
    if answer["type"] == "error":
        assert answer["error"]["code"] == "COMMAND_TIMEOUT", answer
        return
    end = answer["payload"]
    assert answer["type"] == "command_exit", answer
    # Not that it is truncated: a daemon that stood still meanwhile finds no more than the pipe held.
    assert (end["reason"], end["exitCode"]) == ("exited", 7), end


async def _check_log(phone: RetryingPhone, request_id: str) -> None:
    answer = await phone.ask("events_read", {"stream": f"command:{request_id}", "limit": 1000})
    if answer["type"] == "error":
        # Refused before it was begun.
        assert answer["error"]["code"] == "SESSION_NOT_FOUND", answer
        return
    events = answer["payload"]["events"]
    assert [event["seq"] for event in events] == list(range(1, len(events) + 1)), events
    assert [event["type"] for event in events].index("command_exit") == len(events) - 1, events


def _edit(root: Path, number: int) -> None:
    (root / f"edit-{number}").write_text("made")
    changed = root / f"edit-{number - 1}"
    if changed.exists():
        changed.write_text("made and changed")
    (root / f"edit-{number - _KEPT_EDITS}").unlink(missing_ok=True)


def _make_burst(directory: Path) -> None:
    for number in range(_BURST_FILES):
        part = directory / f"part-{number % 20}"
        part.mkdir(parents=True, exist_ok=True)
        (part / f"file-{number}").write_text("x")
