"""Where the effect of a request is a row, effect and answer are stored together."""

import sqlite3
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from host.core.requests import RequestContext, RouteTable
from host.db.errors import DatabaseFull
from host.db.request_log import RequestLog
from host.protocol.envelope import Envelope, Sender
from host.protocol.errors import DaemonBusy
from host.protocol.messages.agents import AgentCancel, AgentCancelResponse
from host.relay.router import RequestRouter
from tests.host_relay.router_rig import RouterRig, code_of, request, router_rig

SESSION = "00000000-0000-4000-8000-000000000000"


def cancel_request(request_id: str = "r1") -> Envelope:
    return request("agent_cancel", {"agentSessionId": SESSION}, request_id=request_id)


def add_row(connection: sqlite3.Connection) -> tuple[AgentCancelResponse, str]:
    connection.execute("INSERT INTO meta (key, value) VALUES ('effect', 'done')")
    return AgentCancelResponse(), "the effect"


class Committing:
    """A handler that commits ``job``, and then does what the test says; its contexts are kept."""

    def __init__(self, rig: RouterRig) -> None:
        self.job: Callable[[sqlite3.Connection], tuple[AgentCancelResponse, str]] = add_row
        self.afterwards: Exception | None = None
        self.effects: list[str] = []
        self.contexts: list[RequestContext] = []
        self._rig = rig
        table = RouteTable()
        table.add(AgentCancel, self._handle)
        rig.router = RequestRouter(table, projects=rig, log=rig.log, user_id=lambda: rig.user_id, outbox=rig)

    async def effect(self) -> list[tuple[str]]:
        return await self._rig.database.read(
            lambda connection: connection.execute("SELECT value FROM meta WHERE key = 'effect'").fetchall()
        )

    async def _handle(self, _: AgentCancel, context: RequestContext) -> AgentCancelResponse:
        self.contexts.append(context)
        response, effect = await context.commit(self.job)
        self.effects.append(effect)
        if self.afterwards is not None:
            raise self.afterwards
        return response


@pytest.fixture
async def rig(tmp_path: Path) -> AsyncIterator[RouterRig]:
    async with router_rig(tmp_path / "daemon.db") as rig:
        yield rig


@pytest.fixture
def committing(rig: RouterRig) -> Committing:
    return Committing(rig)


async def test_what_was_committed_is_the_answer_also_the_next_time(rig: RouterRig, committing: Committing) -> None:
    first = await rig.answer(cancel_request())
    second = await rig.answer(cancel_request())

    assert first["payload"] == {"success": True}
    assert second == first
    assert committing.effects == ["the effect"]
    assert await committing.effect() == [("done",)]


async def test_effect_and_answer_are_there_together_or_not_at_all(
    rig: RouterRig, committing: Committing, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    write = rig.database.write

    async def full_behind(job: Callable[[sqlite3.Connection], object]) -> object:
        def fails_at_its_end(connection: sqlite3.Connection) -> object:
            job(connection)
            raise DatabaseFull(tmp_path)

        return await write(fails_at_its_end)

    original = RequestLog.finish_with

    async def finish_with(self: RequestLog, *arguments: object) -> object:
        with monkeypatch.context() as patch:
            patch.setattr(rig.database, "write", full_behind)
            return await original(self, *arguments)  # type: ignore[arg-type]

    with monkeypatch.context() as patch:
        patch.setattr(RequestLog, "finish_with", finish_with)
        answer = await rig.answer(cancel_request())
    assert answer["error"]["details"] == {"reason": "noSpace"}
    assert await committing.effect() == []

    assert (await rig.answer(cancel_request()))["payload"] == {"success": True}
    assert await committing.effect() == [("done",)]


@pytest.mark.parametrize("fault", [RuntimeError("a bug"), DaemonBusy("Too late to refuse.")])
async def test_a_fault_behind_the_commit_changes_nothing(
    rig: RouterRig, committing: Committing, fault: Exception
) -> None:
    committing.afterwards = fault
    first = await rig.answer(cancel_request())
    second = await rig.answer(cancel_request())

    assert first["payload"] == {"success": True}
    assert second == first
    assert committing.effects == ["the effect"]


async def test_a_job_that_refuses_undoes_itself_and_is_not_remembered(rig: RouterRig, committing: Committing) -> None:
    def refused(connection: sqlite3.Connection) -> tuple[AgentCancelResponse, str]:
        add_row(connection)
        raise DaemonBusy("The queue is full.")

    committing.job = refused
    assert code_of(await rig.answer(cancel_request())) == "DAEMON_BUSY"
    assert await committing.effect() == []
    committing.job = add_row
    assert code_of(await rig.answer(cancel_request())) is None


async def test_a_handler_hears_which_device_asks(rig: RouterRig, committing: Committing) -> None:
    senders = (Sender("c1", "Ada's phone"), Sender("c1", {"name": "Ada's phone"}), Sender("c1", 5), Sender("c1"), None)
    for number, sender in enumerate(senders):
        plain = cancel_request(f"r{number}")
        await rig.answer(Envelope(plain.type, plain.request_id, plain.session_id, None, "c1", sender, plain.payload))
        committing.job = lambda _: (AgentCancelResponse(), "")

    assert [context.device for context in committing.contexts] == ["Ada's phone", "Ada's phone", None, None, None]


async def test_what_changes_nothing_can_commit_nothing(rig: RouterRig) -> None:
    context = RequestContext("proj_1", "r1", "user-1")
    with pytest.raises(NotImplementedError):
        await context.commit(add_row)
