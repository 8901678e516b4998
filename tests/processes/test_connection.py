"""The daemon's end of a shim's connection."""

import asyncio
import os
import socket
from collections.abc import Iterable

import pytest

from host.processes.connection import Ended, ShimConnection, TreeEnded
from host.processes.shim_messages import (
    ENDED,
    STARTED,
    TAKEN,
    TREE_ENDED,
    Job,
    Report,
    encode_report,
    receive_job,
)

JOB = Job([b"/bin/true"], {b"A": b"=1"}, 5.0, (0, 0, 0, 0))
REPORTS = (Report(TAKEN), Report(STARTED, 77), Report(ENDED, 3), Report(TREE_ENDED, 15, 2))


async def test_a_job_that_is_done_before_the_daemon_goes_on_counts_as_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    ours, theirs = socket.socketpair()
    ours.setblocking(False)
    really_send = socket.send_fds

    def send_and_finish(connection: socket.socket, buffers: Iterable[bytes], descriptors: list[int]) -> int:
        sent = really_send(connection, buffers, descriptors)
        job = receive_job(theirs)
        assert job is not None
        assert job._replace(descriptors=JOB.descriptors) == JOB
        for descriptor in job.descriptors:
            os.close(descriptor)
        theirs.sendall(b"".join(map(encode_report, REPORTS)))
        theirs.close()
        return sent

    monkeypatch.setattr(socket, "send_fds", send_and_finish)
    connection = ShimConnection(ours)
    await connection.send(JOB)
    assert await connection.answer == Report(STARTED, 77)
    assert connection.has_taken
    assert await connection.ended == Ended(exit_code=3)
    assert await connection.tree_ended == TreeEnded(last_signal="SIGTERM", left=2)


async def test_reports_are_understood_in_whatever_pieces_they_come() -> None:
    ours, theirs = socket.socketpair()
    ours.setblocking(False)
    connection = ShimConnection(ours)
    with theirs:
        for byte in b"".join(map(encode_report, REPORTS)):
            theirs.send(bytes([byte]))
            await asyncio.sleep(0)
    assert await connection.tree_ended == TreeEnded(last_signal="SIGTERM", left=2)
    assert connection.answer.result() == Report(STARTED, 77)


async def test_when_the_connection_ends_nothing_is_known() -> None:
    ours, theirs = socket.socketpair()
    ours.setblocking(False)
    connection = ShimConnection(ours)
    theirs.close()
    assert await connection.answer is None
    assert not (await connection.ended).is_known
    assert await connection.tree_ended == TreeEnded()
    with pytest.raises(ConnectionError):
        await connection.send(JOB)
    connection.kill()
    connection.close()
