"""A command that is cancelled as early as can be."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final

import pytest

from host.commands.service import Commands
from host.core.requests import RequestContext
from host.db.command_runs import CommandRuns
from host.db.database import Database
from host.processes.login_shell import UserEnvironment
from host.processes.runner import ProcessRunner
from host.protocol.errors import InvalidRequest, SessionNotFound
from host.protocol.messages.base import Event
from host.protocol.messages.commands import CommandExec
from tests.support.processes import environment, no_process_left

RUN: Final = "run-1"
PROJECT: Final = "proj_1"


@dataclass
class Rig:
    """Commands of a daemon that has just started: what they run in is not known until ``know``."""

    commands: Commands
    root: Path
    emitted: list[Event] = field(default_factory=list)

    @property
    def context(self) -> RequestContext:
        return RequestContext(PROJECT, RUN, "user-1", emit=self._emit)

    @property
    def proof(self) -> Path:
        """What the command makes."""
        return self.root / "proof"

    def know(self) -> None:
        self.commands.environment.set_result(UserEnvironment(environment(self.root)))

    def _emit(self, event: Event, *, after_answer: bool = False) -> None:
        self.emitted.append(event)


@pytest.fixture
async def rig(tmp_path: Path) -> AsyncIterator[Rig]:
    with no_process_left(tmp_path):
        database, runner = await Database.open(tmp_path / "daemon.db"), ProcessRunner()
        future: asyncio.Future[UserEnvironment] = asyncio.get_running_loop().create_future()
        yield Rig(Commands(runner, CommandRuns(database), "/bin/sh", future), tmp_path)
        await runner.close()
        await database.close()


async def test_a_command_that_was_cancelled_before_it_could_begin_does_nothing_and_has_an_end(rig: Rig) -> None:
    running = asyncio.create_task(rig.commands.run(CommandExec(command="touch proof"), rig.root, rig.context))
    await asyncio.sleep(0)
    await rig.commands.cancel(PROJECT, RUN)
    rig.know()
    end = await running
    assert (end.reason, end.exit_code, end.signal, end.seq) == ("cancelled", None, None, 1)
    assert not rig.proof.exists()
    assert rig.emitted == []
    (listed,) = (await rig.commands.list(PROJECT, limit=5, before=None)).runs
    assert listed.reason == "cancelled"
    assert rig.commands.running_count == 0
    # As of one that has ended.
    await rig.commands.cancel(PROJECT, RUN)


async def test_a_command_that_is_cancelled_while_it_is_begun_is_ended(rig: Rig) -> None:
    rig.know()
    running = asyncio.create_task(rig.commands.run(CommandExec(command="sleep 60"), rig.root, rig.context))
    while not (await rig.commands.list(PROJECT, limit=5, before=None)).runs:
        pass
    await rig.commands.cancel(PROJECT, RUN)
    async with asyncio.timeout(10):
        assert (await running).reason == "cancelled"


async def test_another_users_command_of_the_same_id_is_refused_and_the_first_can_still_be_cancelled(rig: Rig) -> None:
    rig.know()
    running = asyncio.create_task(rig.commands.run(CommandExec(command="sleep 60"), rig.root, rig.context))
    while not (await rig.commands.list(PROJECT, limit=5, before=None)).runs:
        pass
    with pytest.raises(InvalidRequest):
        await rig.commands.run(CommandExec(command="true"), rig.root, replace(rig.context, user_id="user-2"))
    await rig.commands.cancel(PROJECT, RUN)
    async with asyncio.timeout(10):
        assert (await running).reason == "cancelled"


async def test_what_never_ran_is_not_found(rig: Rig) -> None:
    with pytest.raises(SessionNotFound):
        await rig.commands.cancel(PROJECT, "never")
