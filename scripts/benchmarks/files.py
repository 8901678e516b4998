"""Listing and reading: the daemon's own work, in this process, and the same through the whole chain."""

import os
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from shutil import which
from typing import Final

import aiohttp

from host.core.memory import keep_freed_memory
from host.core.requests import RequestContext
from host.files.handlers import FileHandlers
from host.files.service import ProjectFiles
from host.protocol.envelope import Envelope, encode_envelope
from host.protocol.limits import MAX_LIST_ENTRIES, MAX_READ_BYTES
from host.protocol.messages.auth import WEB_CLIENT_ID
from host.protocol.messages.base import Response, encode_payload
from host.protocol.messages.files import FsList, FsRead
from scripts.benchmarks.measure import Effort, Figure, Report, Samples, Target, awaited_ms, figure_of_medians, timed_ms
from scripts.benchmarks.phone import Question, access_token, signed_in_phone
from scripts.benchmarks.processes import next_line, running
from scripts.benchmarks.sandbox import sandbox

_LARGE_FILE: Final = "large.txt"
_LINE: Final = '    print("a line of source code", file=sys.stderr)  # of some length\n'
_CONTEXT: Final = RequestContext(project_id="proj_bench", request_id="request", user_id="user")

_NODE: Final = """
const fs = require('fs');
require('readline').createInterface({input: process.stdin}).on('line', (path) => {
  if (!path) return;
  const start = process.hrtime.bigint();
  const frame = JSON.stringify({type: 'fs_read_response', payload: {content: fs.readFileSync(path, 'utf8')}});
  if (frame.length < 1000) throw new Error('nothing was read');
  console.log(Number(process.hrtime.bigint() - start) / 1e6);
});
console.log('ready');
"""

Work = Callable[[], Awaitable[object]]


class _OneProject:
    """Stands in for the registry."""

    def __init__(self, root: Path) -> None:
        self._root = root

    async def root_of(self, project_id: str) -> Path:
        return self._root


async def measure(effort: Effort) -> Report:
    # As the daemon does at its start.
    keep_freed_memory()
    with sandbox(projects=2) as place:
        (listed_id, listed), (read_id, read) = place.projects.items()
        for number in range(MAX_LIST_ENTRIES):
            (listed / f"file-{number:05}.txt").touch()
        large_file = read / _LARGE_FILE
        large_file.write_text((_LINE * (MAX_READ_BYTES // len(_LINE) + 1))[:MAX_READ_BYTES])
        async with aiohttp.ClientSession() as http:
            token = await access_token(http, place.relay_url, WEB_CLIENT_ID)
            async with signed_in_phone(http, place.relay_url, token) as phone:
                listing = Question("fs_list", "fs_list_response", {"path": ""}, listed_id)
                reading = Question("fs_read", "fs_read_response", {"path": _LARGE_FILE}, read_id)
                figures = await _list(listed, lambda: phone.ask(listing), effort)
                if which("node") is None:
                    return Report(figures, ["fs_read of 10 MB was not measured: node is not installed."])
                return Report([*figures, *await _read(large_file, lambda: phone.ask(reading), effort)])


async def _list(directory: Path, through_the_chain: Work, effort: Effort) -> list[Figure]:
    handlers = FileHandlers(ProjectFiles(), _OneProject(directory), lambda _: 0)

    async def service() -> bytes:
        return _frame(await handlers.list(FsList(path=""), _CONTEXT), "fs_list_response")

    def floor() -> None:
        with os.scandir(directory) as entries:
            for entry in entries:
                entry.stat(follow_symlinks=False)

    ours, chain, bare = await _in_turn(service, through_the_chain, lambda: timed_ms(floor), effort)
    against = "scandir + lstat"
    return [
        figure_of_medians("fs_list of 10,000 entries, encoded", ours, bare, against, Target(1.25)),
        figure_of_medians("  through the whole chain", chain, bare, against),
    ]


async def _read(file: Path, through_the_chain: Work, effort: Effort) -> list[Figure]:
    handlers = FileHandlers(ProjectFiles(), _OneProject(file.parent), lambda _: 0)

    async def service() -> bytes:
        return _frame(await handlers.read(FsRead(path=file.name), _CONTEXT), "fs_read_response")

    with _node_reads(file) as node_ms:
        ours, chain, node = await _in_turn(service, through_the_chain, node_ms, effort)
    against = "node: readFileSync + JSON.stringify"
    return [
        figure_of_medians("fs_read of 10 MB, encoded", ours, node, against, Target(0.3)),
        figure_of_medians("  through the whole chain", chain, node, against),
    ]


async def _in_turn(
    service: Work, through_the_chain: Work, floor_ms: Callable[[], float], effort: Effort
) -> tuple[Samples, Samples, Samples]:
    ours: Samples = []
    chain: Samples = []
    floor: Samples = []
    for _ in range(effort.rounds):
        floor.append(floor_ms())
        ours.append(await awaited_ms(service))
        chain.append(await awaited_ms(through_the_chain))
    return ours, chain, floor


@contextmanager
def _node_reads(file: Path) -> Iterator[Callable[[], float]]:
    """A node process that is kept; the function lets it read the file once and returns the milliseconds."""
    with running(["node", "-e", _NODE]) as node:
        next_line(node)

        def read_ms() -> float:
            assert node.stdin is not None
            node.stdin.write(f"{file}\n".encode())
            return float(next_line(node))

        yield read_ms


def _frame(response: Response, wire_type: str) -> bytes:
    return encode_envelope(Envelope(wire_type, request_id="request", payload=encode_payload(response)))
