"""Turns of the real Claude Code against a scripted API, driven by us and bare; and how fast its lines are read."""

import asyncio
import json
import os
import tempfile
import time
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import msgspec

from host.agents.claude.adapter import ClaudeAgent
from host.agents.claude.command_line import turn_arguments
from host.agents.claude.control import user_line
from host.agents.claude.framer import Framer
from host.agents.claude.launcher import Launcher
from host.agents.claude.mapping import EventMapping
from host.agents.claude.stream_json import parse
from host.agents.port import TurnOrder
from host.processes.login_shell import UserEnvironment
from host.processes.runner import ProcessRunner
from host.protocol.messages.agent_events import TurnBegan
from host.protocol.messages.agents import AgentOptions
from scripts.benchmarks.measure import Effort, Figure, Report, Samples, Target, figure_of_medians
from tests.support.claude_cli import claude_environment, claude_executable
from tests.support.messages_api import MessagesApi, says

_TARGET: Final = Target(1.1)
_LINES: Final = 50_000
_PIECE_BYTES: Final = 64 * 1024


async def measure(effort: Effort) -> Report:
    # The daemon runs on plain asyncio: uvloop would fork where the runner must not.
    return await asyncio.to_thread(asyncio.run, _measure(effort))


async def _measure(effort: Effort) -> Report:
    with tempfile.TemporaryDirectory() as name:
        began, done, bare_began, bare_done = await _turns(Path(name), max(effort.rounds // 4, 3))
    rate, decoded_rate = _rates()
    return Report(
        [
            figure_of_medians("an agent's first event, p50", began, bare_began, "the bare CLI", _TARGET),
            figure_of_medians("an agent's turn, p50", done, bare_done, "the bare CLI", _TARGET),
            Figure("an agent's lines read", rate, "/s", decoded_rate, "msgspec.json.decode"),
        ]
    )


async def _turns(directory: Path, rounds: int) -> tuple[Samples, Samples, Samples, Samples]:
    """Milliseconds to the first event and to the end, ours and bare."""
    samples: tuple[Samples, Samples, Samples, Samples] = ([], [], [], [])
    runner = ProcessRunner()
    await runner.prepare()
    async with MessagesApi.serve() as api:
        variables = claude_environment(directory, api.url)
        environment: asyncio.Future[UserEnvironment] = asyncio.get_running_loop().create_future()
        environment.set_result(UserEnvironment(variables))
        agent = ClaudeAgent(Launcher(runner, environment, str(claude_executable())))
        for _ in range(rounds + 1):
            api.script("Hello", says("Hello to you"), says("Hello to you"))
            times = (*await _ours(agent, _order(directory)), *await _bare(_order(directory), variables))
            for series, taken_ms in zip(samples, times, strict=True):
                series.append(taken_ms)
    await runner.close()
    # The first ones read the CLI from the disk.
    for series in samples:
        del series[0]
    return samples


def _order(root: Path) -> TurnOrder:
    return TurnOrder(str(uuid.uuid4()), str(uuid.uuid4()), "Hello", AgentOptions(), True, root)


async def _ours(agent: ClaudeAgent, order: TurnOrder) -> tuple[float, float]:
    start_s, began_s = time.perf_counter(), 0.0
    async with await agent.start(order) as turn:
        async for event in turn:
            if isinstance(event, TurnBegan):
                began_s = time.perf_counter()
    return (began_s - start_s) * 1000, (time.perf_counter() - start_s) * 1000


async def _bare(order: TurnOrder, variables: Mapping[str, str]) -> tuple[float, float]:
    start_s, began_s = time.perf_counter(), 0.0
    process = await asyncio.create_subprocess_exec(
        claude_executable(),
        *turn_arguments(order, goes_on=False),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        cwd=order.root,
        env={**os.environ, **variables},
        limit=2**26,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write(user_line(order.content, turn_id=order.turn_id))
    process.stdin.close()
    async for line in process.stdout:
        if b'"subtype":"init"' in line:
            began_s = time.perf_counter()
    await process.wait()
    return (began_s - start_s) * 1000, (time.perf_counter() - start_s) * 1000


def _rates() -> tuple[float, float]:
    """Lines a second from bytes to events, and only decoded."""
    event = {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": " some words"}}
    line = json.dumps({"type": "stream_event", "event": event, "uuid": str(uuid.uuid4()), "parent_tool_use_id": None})
    sent = (line.encode() + b"\n") * _LINES
    framer, mapping = Framer(), EventMapping(Path("/"))
    start_s = time.perf_counter()
    for start in range(0, len(sent), _PIECE_BYTES):
        for raw in framer.feed(sent[start : start + _PIECE_BYTES]):
            if (parsed := parse(raw)) is not None:
                list(mapping.events(parsed))
    ours_s = time.perf_counter() - start_s
    start_s = time.perf_counter()
    for raw in sent.split(b"\n")[:-1]:
        msgspec.json.decode(raw)
    return _LINES / ours_s, _LINES / (time.perf_counter() - start_s)
