"""The link: round trips and throughput of whole and bare chains of three processes."""

import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from functools import partial
from statistics import median
from typing import Final

import aiohttp

from host.protocol.envelope import Envelope, encode_envelope
from host.protocol.limits import PROTOCOL_VERSION
from host.protocol.messages.auth import HOST_CLIENT_ID, WEB_CLIENT_ID
from host.protocol.messages.base import encode_payload
from host.protocol.messages.system import Capabilities, DaemonRegister, Machine, RegisteredProject
from scripts.benchmarks.measure import (
    Effort,
    Figure,
    Report,
    Samples,
    Target,
    awaited_ms,
    figure_of_medians,
    percentile,
)
from scripts.benchmarks.phone import Phone, Question, access_token, bare_phone, signed_in_phone
from scripts.benchmarks.processes import cpu_s, module, next_line, running
from scripts.benchmarks.sandbox import Sandbox, sandbox

_FRAME_BYTES: Final = 301
_IN_FLIGHT: Final = 64
_BLOCK: Final = 60
_WARM_UP: Final = 10
_THROUGHPUT_ROUNDS: Final = 5
_FILE: Final = "small.txt"
_ECHO_PROJECT: Final = "proj_echo"
_BARE: Final = "bare chain"


@dataclass(frozen=True, eq=False)
class Chain:
    phone: Phone
    question: Question
    relay_process_id: int


async def measure(effort: Effort) -> Report:
    with sandbox(projects=1) as place:
        project_id, root = place.project
        (root / _FILE).write_text("Hello\n")
        async with aiohttp.ClientSession() as http, AsyncExitStack() as stack:
            token = await access_token(http, place.relay_url, WEB_CLIENT_ID)
            phone = await stack.enter_async_context(signed_in_phone(http, place.relay_url, token))
            # No type of the protocol: the daemon refuses it at once, so that only the way there and back is measured.
            link = Chain(phone, _sized("probe", "error", {}, project_id), place.relay_process_id)
            read = Chain(phone, _read(project_id), place.relay_process_id)
            relay = await stack.enter_async_context(_relay_and_echo(http, place, phone))
            bare = await stack.enter_async_context(_bare_chain(http))
            return Report(
                [*await _round_trips(link, read, bare, effort), *await _throughput(link, read, relay, bare, effort)],
                ["The link was not measured against node: its standard library has no WebSocket server."],
            )


@asynccontextmanager
async def _bare_chain(http: aiohttp.ClientSession) -> AsyncIterator[Chain]:
    with running(module("scripts.benchmarks.bare_chain", "relay")) as relay:
        relay_url = next_line(relay)
        with running(module("scripts.benchmarks.bare_chain", "daemon", relay_url)) as daemon:
            next_line(daemon)
            async with bare_phone(http, relay_url) as phone:
                yield Chain(phone, _read(_ECHO_PROJECT), relay.pid)


@asynccontextmanager
async def _relay_and_echo(http: aiohttp.ClientSession, place: Sandbox, phone: Phone) -> AsyncIterator[Chain]:
    """The real relay, and behind it the bare chain's daemon as a second machine of the user."""
    token = await access_token(http, place.relay_url, HOST_CLIENT_ID)
    command = module("scripts.benchmarks.bare_chain", "daemon", place.relay_url)
    with running(command, first_line=_registration(token)) as daemon:
        next_line(daemon)
        await phone.event()  # daemon_status: the machine is there.
        yield Chain(phone, _read(_ECHO_PROJECT), place.relay_process_id)


async def _round_trips(link: Chain, read: Chain, bare: Chain, effort: Effort) -> list[Figure]:
    """In blocks, so that each chain is measured awake."""
    series: dict[Chain, Samples] = {link: [], read: [], bare: []}
    for _ in range(effort.rounds):
        for chain, samples in series.items():
            block = [await awaited_ms(partial(chain.phone.ask, chain.question)) for _ in range(_BLOCK)]
            samples.extend(block[_WARM_UP:])
    return [
        figure_of_medians("round trip of a small request, p50", series[link], series[bare], _BARE, Target(1.5)),
        _p99(series[link], series[bare]),
        figure_of_medians("fs_read of 6 bytes, p50", series[read], series[bare], _BARE),
        _p99(series[read], series[bare]),
    ]


def _p99(ours: Samples, floor: Samples) -> Figure:
    return Figure("  p99", percentile(ours, 99), "ms", percentile(floor, 99), _BARE)


async def _throughput(link: Chain, read: Chain, relay: Chain, bare: Chain, effort: Effort) -> list[Figure]:
    times = 150 * effort.rounds
    series: dict[Chain, Samples] = {link: [], read: [], relay: [], bare: []}
    relay_cpu_s = dict.fromkeys(series, 0.0)
    for _ in range(_THROUGHPUT_ROUNDS):
        for chain, samples in series.items():
            start_s, start_cpu_s = time.perf_counter(), cpu_s(chain.relay_process_id)
            await chain.phone.ask_many(chain.question, times=times, in_flight=_IN_FLIGHT)
            samples.append(times / (time.perf_counter() - start_s))
            relay_cpu_s[chain] += cpu_s(chain.relay_process_id) - start_cpu_s
    per_s = {chain: median(samples) for chain, samples in series.items()}
    cpu_us = {chain: taken_s / _THROUGHPUT_ROUNDS / times * 1e6 for chain, taken_s in relay_cpu_s.items()}
    return [
        Figure(f"messages a second, {_IN_FLIGHT} in flight", per_s[link], "/s", per_s[bare], _BARE),
        Figure("  of fs_read of 6 bytes", per_s[read], "/s", per_s[bare], _BARE),
        Figure("  of the relay alone", per_s[relay], "/s", per_s[bare], _BARE),
        Figure("  processor time of the relay alone", cpu_us[relay], "µs", cpu_us[bare], "the bare chain's relay"),
    ]


def _read(project_id: str) -> Question:
    return _sized("fs_read", "fs_read_response", {"path": _FILE}, project_id)


def _sized(wire_type: str, answer_type: str, payload: dict[str, str], project_id: str) -> Question:
    """A question of exactly 301 bytes."""
    missing = _FRAME_BYTES - len(Question(wire_type, answer_type, {**payload, "pad": ""}, project_id).frame())
    return Question(wire_type, answer_type, {**payload, "pad": "x" * missing}, project_id)


def _registration(token: str) -> bytes:
    project = RegisteredProject(
        project_id=_ECHO_PROJECT,
        name="echo",
        path="/",
        created_at="",
        last_opened_at="",
        watcher_running=False,
        last_fs_seq=0,
    )
    register = DaemonRegister(
        protocol_version=PROTOCOL_VERSION,
        machine_key="echo",
        token=token,
        machine=Machine(label="echo", hostname="", platform="", arch="", daemon_version=""),
        features=[],
        capabilities=Capabilities(has_git=False, has_claude=False, claude_store_found=False),
        projects=[project],
    )
    return encode_envelope(Envelope(register.wire_type, request_id="register", payload=encode_payload(register)))
