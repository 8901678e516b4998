"""100,000 frames of every degree of wrongness against the real relay and daemon."""

import asyncio
import json
import random
from collections import Counter
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

import pytest

from host.protocol.catalog import CATALOG
from host.protocol.errors import ErrorCode
from relay_stub.client import ConnectionClosed, RelayClient
from tests.end_to_end.served import Served
from tests.support.processes import Bench, is_alive, resident_bytes

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

FRAMES: Final = 100_000
WARM_UP: Final = 20_000
AT_ONCE: Final = 200
MIB: Final = 1024 * 1024
ALLOWED_GROWTH_BYTES: Final = 40 * MIB

ANSWERS_AND_EVENTS: Final = ("_response", "_welcome", "_status", "_changed", "_event", "_output", "_exit", "attention")
# Of these a wrong one ends the connection, so they are rare.
SIGNING_IN: Final = ("auth_exchange", "token_refresh", "device_authorize", "device_token", "client_hello")
TYPES: Final = (
    *(CATALOG.keys() - SIGNING_IN),
    "fs_nonsense",
    "git_status",
    "relay.machine_lost",
    "daemon_status",
    "error",
    "",
    "\0",
)
NAMES: Final = (
    "",
    ".",
    "..",
    "a",
    "src",
    "app.py",
    ".git",
    ".GIT",
    "-rf",
    "a\nb",
    "\0",
    "\u202e",
    "%FF",
    "é",
    "x" * 300,
)
ODD_VALUES: Final[tuple[object, ...]] = (
    None,
    True,
    0,
    -1,
    2**63,
    1e308,
    "",
    "x" * 1000,
    [],
    {},
    [[[]]],
    {"a": {"b": []}},
    "\ud800",
)


class Fuzzer:
    """Makes frames, from wholly right to wholly wrong; the same ones for the same seed."""

    def __init__(self, seed: int, project_id: str, machine_key: str) -> None:
        self._random = random.Random(seed)
        self._ids = (project_id, project_id, project_id, "proj_0000000000000000", "", "../x")
        self._machine_keys = (machine_key, "nobody")
        self._count = 0

    def frame(self) -> bytes:
        chance = self._random.random()
        text = json.dumps(self._message(), ensure_ascii=self._random.random() < 0.5).encode(errors="surrogatepass")
        if chance < 0.002:
            return self._random.randbytes(self._random.randrange(200))
        if chance < 0.01:
            return self._mangled(text)
        return text

    def _message(self) -> dict[str, Any]:
        self._count += 1
        message: dict[str, Any] = {
            "type": self._random.choice(TYPES if self._random.random() > 0.0005 else SIGNING_IN),
            "requestId": f"fuzz-{self._count}",
            "sessionId": self._random.choice(self._ids),
            "payload": self._payload(),
        }
        for name in ("requestId", "sessionId", "payload", "machineKey", "replyTo", "from", "error"):
            if self._random.random() < 0.03:
                message[name] = self._random.choice(ODD_VALUES)
        if self._random.random() < 0.1:
            message["machineKey"] = self._random.choice(self._machine_keys)
        return message

    def _payload(self) -> dict[str, Any]:
        payload: dict[str, Any] = {
            "path": self._path(),
            "from": self._path(),
            "to": self._path(),
            "content": self._random.choice(("", "x", "x" * 5000, "\0", "/w==", "é")),
        }
        options = {
            "depth": (1, 3, 20, 21),
            "offset": (0, 1, 2**62),
            "length": (0, 1, 100),
            "encoding": ("utf-8", "base64", "latin-1"),
            "ifMatch": (None, "sha256:0"),
            "createDirs": (True, False),
            "overwrite": (True, False),
            "recursive": (False,),
            "clientId": ("pocketcoder-web",),
            "protocolVersion": (1, 2),
        }
        for name, values in options.items():
            if self._random.random() < 0.3:
                payload[name] = self._random.choice((*values, *ODD_VALUES) if self._random.random() < 0.2 else values)
        return payload

    def _path(self) -> str:
        return "/".join(self._random.choice(NAMES) for _ in range(self._random.randrange(1, 5)))

    def _mangled(self, text: bytes) -> bytes:
        place = self._random.randrange(len(text))
        return text[:place] + self._random.randbytes(self._random.randrange(4)) + text[place + 1 :]


class Answers:
    """Counts what came back. Raises AssertionError for what the contract does not have."""

    def __init__(self) -> None:
        self.codes: Counter[str] = Counter()

    def take(self, message: dict[str, Any]) -> None:
        if message["type"] != "error":
            assert message["type"].endswith(ANSWERS_AND_EVENTS), message
            self.codes[message["type"]] += 1
            return
        code, details = message["error"]["code"], message["error"].get("details", {})
        assert code in set(ErrorCode), message
        # The host's file system may refuse; our own code may not.
        assert code != "UNKNOWN_ERROR" or "reason" in details, message
        self.codes[code] += 1


async def _send_some(client: RelayClient, fuzzer: Fuzzer, answers: Answers, count: int) -> int:
    """Send until the relay has enough of it; return how many were sent."""
    sent = 0
    with suppress(ConnectionClosed, TimeoutError):
        while sent < count:
            batch = min(AT_ONCE, count - sent)
            for _ in range(batch):
                await client.send_raw(fuzzer.frame())
                sent += 1
            # All that came before a right request is answered before or soon after it.
            async with asyncio.timeout(30):
                await client.request("projects_list")
            while not client.events.empty():
                answers.take(client.events.get_nowait())
    return sent


async def test_a_hundred_thousand_frames_harm_neither_relay_nor_daemon(bench: Bench, tmp_path: Path) -> None:
    served = Served(bench)
    outside = tmp_path / "outside.txt"
    outside.write_text("untouched")
    assert served.relay.process is not None
    pids = (served.relay.process.pid, served.daemon_pid)
    seed = random.SystemRandom().randrange(2**32)
    print(f"seed {seed}")
    fuzzer = Fuzzer(seed, served.project_id, served.machine.status()["machineKey"])
    answers, sent, warm = Answers(), 0, [0, 0]
    while sent < FRAMES:
        async with RelayClient.sign_in(served.relay.url, "ada") as client:
            sent += await _send_some(client, fuzzer, answers, min(FRAMES - sent, 5_000))
        if not any(warm) and sent >= WARM_UP:
            warm = [resident_bytes(pid) for pid in pids]
    grown = [resident_bytes(pid) - before for pid, before in zip(pids, warm, strict=True)]
    print(answers.codes)
    assert all(is_alive(pid) for pid in pids)
    assert max(grown) < ALLOWED_GROWTH_BYTES, f"relay and daemon grew by {grown}"
    assert served.machine.wait_until_connected()["pid"] == served.daemon_pid
    assert "Traceback" not in served.machine.log
    assert outside.read_text() == "untouched"
    async with RelayClient.sign_in(served.relay.url, "ada") as client:
        listed = await client.request("fs_list", {"path": ""}, session_id=served.project_id)
    assert {entry["name"] for entry in listed["children"]} <= {path.name for path in served.root.iterdir()}
    for code in ("INVALID_REQUEST", "OUTSIDE_PROJECT_ROOT", "PROJECT_NOT_FOUND", "UNSUPPORTED", "fs_read_response"):
        assert answers.codes[code], answers.codes
