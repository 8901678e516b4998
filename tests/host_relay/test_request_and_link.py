"""A request outlives the connection it came on."""

import asyncio
from pathlib import Path

from host.protocol.messages.files import FsWrite, FsWriteResponse
from host.relay.connection_state import State
from tests.host_relay.router_rig import router_rig, write_response
from tests.support.host import LinkRig, ScriptedRelay, eventually, running


async def test_a_request_cut_off_by_a_broken_link_is_finished_and_its_id_tells_the_outcome_on_the_next(
    relay: ScriptedRelay, rig: LinkRig, tmp_path: Path
) -> None:
    go_on = asyncio.Event()
    payload = {"path": "a", "content": "hello"}

    async def writing(_: FsWrite) -> FsWriteResponse:
        await go_on.wait()
        return write_response()

    async with router_rig(tmp_path / "daemon.db") as routed:
        routed.writing = writing
        routed.sending = rig.outbox.put
        async with running(rig.make(accept=routed.router.accept)) as link:
            peer = await relay.next_peer()
            await peer.register()
            await peer.ask("fs_write", payload, request_id="w1", reply_to="c1")
            await eventually(lambda: len(routed.writes) == 1)
            peer.break_off()
            await eventually(lambda: link.status.state is State.RECONNECTING)
            go_on.set()
            await eventually(lambda: routed.router.active == 0)

            again = await relay.next_peer()
            await again.register()
            await again.ask("fs_write", payload, request_id="w1", reply_to="c2")
            answer = await again.receive()

    assert (answer.type, answer.request_id, answer.reply_to) == ("fs_write_response", "w1", "c2")
    assert len(routed.writes) == 1


async def test_a_request_that_still_runs_is_answered_on_the_next_link_to_who_asked_there(
    relay: ScriptedRelay, rig: LinkRig, tmp_path: Path
) -> None:
    go_on = asyncio.Event()
    payload = {"path": "a", "content": "hello"}

    async def writing(_: FsWrite) -> FsWriteResponse:
        await go_on.wait()
        return write_response()

    async with router_rig(tmp_path / "daemon.db") as routed:
        routed.writing = writing
        routed.sending = rig.outbox.put
        async with running(rig.make(accept=routed.router.accept)) as link:
            peer = await relay.next_peer()
            await peer.register()
            await peer.ask("fs_write", payload, request_id="w1", reply_to="c1")
            await eventually(lambda: len(routed.writes) == 1)
            peer.break_off()
            again = await relay.next_peer()
            await again.register()
            await eventually(lambda: link.status.state is State.CONNECTED)
            await again.ask("fs_write", payload, request_id="w1", reply_to="c2")
            await eventually(lambda: routed.router.active == 1)
            go_on.set()
            answers = [await again.receive(), await again.receive()]

    assert {answer.reply_to for answer in answers} == {"c1", "c2"}
    assert len(routed.writes) == 1
