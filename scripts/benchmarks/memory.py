"""Resident memory: of the daemon when it has nothing to do, and of the relay for a connection that idles."""

import sys
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from typing import Final

import aiohttp

from host.protocol.messages.auth import WEB_CLIENT_ID
from scripts.benchmarks.measure import Effort, Figure, Report, Target
from scripts.benchmarks.phone import Phone, access_token, bare_phone, signed_in_phone
from scripts.benchmarks.processes import module, next_line, resident_kib, running
from scripts.benchmarks.sandbox import Sandbox, sandbox

_PROJECTS: Final = 10
_WARM_UP: Final = 20
_MAX_CONNECTIONS: Final = 1000

Connect = Callable[[], AbstractAsyncContextManager[Phone]]


async def measure(effort: Effort) -> Report:
    with sandbox(projects=_PROJECTS) as place:
        return Report([_idle_daemon(place), await _idle_connection(place, min(25 * effort.rounds, _MAX_CONNECTIONS))])


def _idle_daemon(place: Sandbox) -> Figure:
    with running([sys.executable, "-c", "print('ready', flush=True); input(); input()"]) as python:
        next_line(python)
        floor_mb = resident_kib(python.pid) / 1024
    ours_mb = resident_kib(place.daemon_process_id) / 1024
    what = f"daemon, idle, {_PROJECTS} projects"
    return Figure(what, ours_mb, "MB", floor_mb, "a python that waits", Target(60, of="value"))


async def _idle_connection(place: Sandbox, connections: int) -> Figure:
    connector = aiohttp.TCPConnector(limit=0)
    with running(module("scripts.benchmarks.bare_chain", "relay")) as bare:
        bare_url = next_line(bare)
        async with aiohttp.ClientSession(connector=connector) as http:
            token = await access_token(http, place.relay_url, WEB_CLIENT_ID)
            floor = await _growth_kib(bare.pid, lambda: bare_phone(http, bare_url), connections)
            signed_in = lambda: signed_in_phone(http, place.relay_url, token)  # noqa: E731
            ours = await _growth_kib(place.relay_process_id, signed_in, connections)
    what = f"relay, each of {connections:,} idle connections"
    return Figure(what, ours, "KB", floor, "bare relay", Target(30, of="value"))


async def _growth_kib(relay_process_id: int, connect: Connect, connections: int) -> float:
    """By how much a relay's memory grows with each connection, once it has seen some."""
    async with AsyncExitStack() as stack:
        for _ in range(_WARM_UP):
            await stack.enter_async_context(connect())
        before_kib = resident_kib(relay_process_id)
        for _ in range(connections):
            await stack.enter_async_context(connect())
        return (resident_kib(relay_process_id) - before_kib) / connections
