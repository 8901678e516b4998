"""Whatever goes wrong on the way to a relay leads to the next try, with a sentence that says what it was."""

import asyncio
import socket
import ssl
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from http import HTTPStatus
from pathlib import Path

import pytest
import trustme

from host.protocol.errors import ErrorCode
from host.protocol.limits import MIB
from host.relay.connection_state import State
from host.relay.link import Link
from host.relay.transport import Transport, open_transport
from tests.support.host import LinkRig, ScriptedRelay, eventually, running, signed_in_store

pytestmark = pytest.mark.slow

NOW_S = 1_770_890_400.0


def unused_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@asynccontextmanager
async def answering(content: bytes, *, is_held_open: bool = False) -> AsyncIterator[int]:
    """Something that listens, and says ``content`` to everyone; yields its port."""
    over = asyncio.Event()

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(4096)
        writer.write(content)
        if is_held_open:
            await over.wait()
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        over.set()
        server.close()
        await server.wait_closed()


async def expect_retries(url: str, directory: Path, says: str) -> None:
    """The link tells what is wrong, and tries again and again."""
    reasons: list[str] = []
    link = LinkRig(signed_in_store(directory, url)).make()
    waits = link._wait_for_next_try

    async def counted(reason: str) -> None:
        reasons.append(reason)
        await waits(reason)

    link._wait_for_next_try = counted  # type: ignore[method-assign]
    async with running(link):
        await eventually(lambda: len(reasons) >= 3)
        assert link.status.state is State.CONNECTING
        assert link.status.last_error == says
        assert set(reasons) == {says}


async def test_a_name_that_is_not_known_is_tried_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown(*_: object, **__: object) -> None:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)

    await expect_retries(
        "wss://relay.invalid",
        tmp_path,
        "The relay's name could not be resolved, or its network is not reachable.",
    )


async def test_a_port_where_nobody_listens_is_tried_again(tmp_path: Path) -> None:
    await expect_retries(
        f"ws://127.0.0.1:{unused_port()}",
        tmp_path,
        "Nothing listens at the relay's address. Is the relay running?",
    )


@pytest.mark.parametrize("status", [HTTPStatus.UNAUTHORIZED, HTTPStatus.NOT_FOUND, HTTPStatus.SERVICE_UNAVAILABLE])
async def test_an_http_refusal_is_tried_again(relay: ScriptedRelay, tmp_path: Path, status: HTTPStatus) -> None:
    relay.refusal = status

    await expect_retries(relay.url, tmp_path, f"The relay refused the connection (HTTP {status.value}).")


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello", "The relay refused the connection (HTTP 200)."),
        (b"HTTP/1.1 101 Switching Protocols\r\n\r\n", "What answers at the relay's address is no relay."),
        (b"SSH-2.0-OpenSSH_9.2\r\n", "What answers at the relay's address is no relay."),
        (b"", "What answers at the relay's address is no relay."),
    ],
    ids=["a web page", "a wrong handshake", "another protocol", "nothing"],
)
async def test_what_is_no_websocket_is_tried_again(tmp_path: Path, content: bytes, says: str) -> None:
    async with answering(content) as port:
        await expect_retries(f"ws://127.0.0.1:{port}", tmp_path, says)


async def test_what_leads_to_another_relay_is_not_followed(relay: ScriptedRelay, tmp_path: Path) -> None:
    """The tokens are for the relay that issued them."""
    elsewhere = f"HTTP/1.1 308 Permanent Redirect\r\nLocation: {relay.url}/ws/daemon\r\nContent-Length: 0\r\n\r\n"
    async with answering(elsewhere.encode()) as port:
        await expect_retries(f"ws://127.0.0.1:{port}", tmp_path, "The relay refused the connection (HTTP 308).")
    with pytest.raises(TimeoutError):
        await relay.next_peer(0.05)


async def test_garbage_for_tls_is_tried_again(tmp_path: Path) -> None:
    async with answering(b"\x00garbage" * 64) as port:
        await expect_retries(f"wss://127.0.0.1:{port}", tmp_path, "No TLS connection to the relay could be made.")


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere the system's own store judges certificates")
@pytest.mark.parametrize("off_by", [timedelta(days=-2), timedelta(days=2)], ids=["expired", "still to come"])
async def test_a_certificate_whose_time_is_not_now_makes_look_at_the_clock(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, off_by: timedelta
) -> None:
    authority, middle = trustme.CA(), datetime.now(UTC) + off_by
    authority.cert_pem.write_to_path(tmp_path / "authority.pem")
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "authority.pem"))
    day = timedelta(days=1)
    certificate = authority.issue_cert("127.0.0.1", not_before=middle - day, not_after=middle + day)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    certificate.configure_cert(context)
    server = await asyncio.start_server(lambda _, writer: writer.close(), "127.0.0.1", 0, ssl=context)
    try:
        await expect_retries(
            f"wss://127.0.0.1:{server.sockets[0].getsockname()[1]}",
            tmp_path,
            "The relay's TLS certificate is not valid now: it has expired, or this machine's clock is wrong.",
        )
    finally:
        server.close()


async def test_a_relay_that_never_finishes_the_handshake_is_tried_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("host.relay.transport._OPEN_TIMEOUT_S", 0.05)
    async with answering(b"", is_held_open=True) as port:
        await expect_retries(f"ws://127.0.0.1:{port}", tmp_path, "The relay did not answer within 0.05 s.")


@pytest.mark.parametrize("proxy", ["ftp://alice:hunter22@proxy.example", "socks5://alice:hunter22@proxy.example"])
async def test_a_proxy_that_cannot_be_used_is_told_without_its_password(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, proxy: str
) -> None:
    monkeypatch.setenv("wss_proxy", proxy)
    monkeypatch.delenv("no_proxy", raising=False)
    monkeypatch.delenv("NO_PROXY", raising=False)

    await expect_retries(
        "wss://relay.invalid",
        tmp_path,
        "This system's proxy can't be used: it is neither http nor https. Change it, or set NO_PROXY.",
    )
    assert "hunter22" not in caplog.text


async def test_a_relay_that_never_answers_the_registration_is_dialled_again(
    relay: ScriptedRelay, rig: LinkRig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("host.relay.calls.ANSWER_TIMEOUT_S", 0.5)
    async with running(rig.make()) as link:
        silent = await relay.next_peer()
        await silent.expect("daemon_register")

        await (await relay.next_peer()).register()
        await eventually(lambda: link.status.state is State.CONNECTED)


class ImpatientTransport(Transport):
    async def keep_alive(self, *, interval_s: float = 0.05, timeout_s: float = 0.5) -> None:
        await super().keep_alive(interval_s=interval_s, timeout_s=timeout_s)


@asynccontextmanager
async def open_impatiently(url: str) -> AsyncIterator[Transport]:
    async with open_transport(url) as transport:
        yield ImpatientTransport(transport._socket)


async def test_a_relay_that_falls_silent_is_dropped_and_dialled_again(relay: ScriptedRelay, rig: LinkRig) -> None:
    link = rig.make()
    link.connect = open_impatiently
    async with running(link):
        peer = await relay.next_peer()
        await peer.register()
        await eventually(lambda: link.status.state is State.CONNECTED)
        peer.fall_silent()

        await relay.next_peer()
        assert link.status.state is State.RECONNECTING
        assert link.status.last_error == "The relay has been silent for 0.5 s."


async def test_a_relay_that_falls_silent_is_dropped_also_while_much_waits_to_be_sent(
    relay: ScriptedRelay, rig: LinkRig
) -> None:
    link = rig.make()
    link.connect = open_impatiently
    async with running(link):
        await block_writing(relay, rig, link)

        await relay.next_peer()
        assert link.status.last_error == "The relay has been silent for 0.5 s."


async def test_a_link_stops_soon_also_while_much_waits_to_be_sent(
    relay: ScriptedRelay, rig: LinkRig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("host.relay.transport._CLOSE_TIMEOUT_S", 0.05)
    async with asyncio.timeout(5), running(rig.make()) as link:
        await block_writing(relay, rig, link)


async def block_writing(relay: ScriptedRelay, rig: LinkRig, link: Link) -> None:
    """More is to be sent than the sockets hold, and the relay does not read."""
    peer = await relay.next_peer()
    await peer.register()
    await eventually(lambda: link.status.state is State.CONNECTED)
    peer.fall_silent()
    await rig.outbox.put(b" " * 32 * MIB)
    await eventually(lambda: rig.outbox.queued_bytes == 0)


async def test_a_relay_that_answers_pings_and_says_nothing_else_stays_connected(
    relay: ScriptedRelay, rig: LinkRig
) -> None:
    link = rig.make()
    link.connect = open_impatiently
    async with running(link):
        peer = await relay.next_peer()
        await peer.register()
        await eventually(lambda: link.status.state is State.CONNECTED)
        with pytest.raises(TimeoutError):
            await relay.next_peer(0.8)
        assert link.status.state is State.CONNECTED


def slow_link(rig: LinkRig, monotonic_s: Callable[[], float]) -> Link:
    """One whose waits are the contract's shortest: half of each step."""
    link = rig.make(jitter=lambda: 0.0, monotonic_s=monotonic_s)
    link.now_s = lambda: NOW_S
    return link


async def wait_told(link: Link) -> float:
    """The wait that the link is in, in seconds; then it is asked not to wait."""
    await eventually(lambda: link.status.next_try_at is not None)
    next_try_at = link.status.next_try_at or ""
    link.try_now()
    await eventually(lambda: link.status.next_try_at is None)
    minutes, seconds = next_try_at.removeprefix("2026-02-12T10:").removesuffix("Z").split(":")
    return int(minutes) * 60 + float(seconds)


async def test_waits_keep_growing_while_the_socket_opens_but_the_registration_is_refused(
    relay: ScriptedRelay, rig: LinkRig
) -> None:
    link = slow_link(rig, monotonic_s=lambda: 0.0)
    waits: list[float] = []
    async with running(link):
        for _ in range(8):
            peer = await relay.next_peer()
            await peer.refuse(await peer.expect("daemon_register"), ErrorCode.RATE_LIMITED)
            waits.append(await wait_told(link))

    assert waits == [0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 30.0, 30.0]


async def test_waits_keep_growing_when_a_registered_link_breaks_within_ten_seconds(
    relay: ScriptedRelay, rig: LinkRig
) -> None:
    now_s = 0.0

    def monotonic_s() -> float:
        return now_s

    link = slow_link(rig, monotonic_s)
    waits: list[float] = []
    async with running(link):
        for _ in range(3):
            peer = await relay.next_peer()
            await peer.register()
            await eventually(lambda: link.status.state is State.CONNECTED)
            now_s += 9.9
            link.changed()
            await peer.register()
            await peer.close(1001)
            waits.append(await wait_told(link))

    assert waits == [0.5, 1.0, 2.0]


async def test_waits_begin_anew_once_a_registered_link_has_lived_ten_seconds(
    relay: ScriptedRelay, rig: LinkRig
) -> None:
    now_s = 0.0

    def monotonic_s() -> float:
        return now_s

    link = slow_link(rig, monotonic_s)
    async with running(link):
        for expected_s in (0.5, 1.0):
            await (await relay.next_peer()).close(1001)
            assert await wait_told(link) == expected_s
        peer = await relay.next_peer()
        await peer.register()
        await eventually(lambda: link.status.state is State.CONNECTED)
        now_s += 10.0
        # Any reason to look at the clock will do. The second answer comes after the look.
        for _ in range(2):
            link.changed()
            await peer.register()
        await peer.close(1001)

        assert await wait_told(link) == 0.5


async def test_after_a_sleep_the_relay_is_dialled_again_at_once(
    relay: ScriptedRelay, rig: LinkRig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("host.relay.link._WAKE_INTERVAL_S", 0.01)
    asleep_s = 1000.0
    link = slow_link(rig, monotonic_s=lambda: 0.0)
    link.asleep_s = lambda: asleep_s
    async with running(link):
        await (await relay.next_peer()).register()
        await eventually(lambda: link.status.state is State.CONNECTED)
        # The connection looks alive.
        asleep_s += 31
        peer = await relay.next_peer()
        await peer.close(1001)
        await eventually(lambda: link.status.next_try_at is not None)
        # It would go on waiting.
        asleep_s += 31
        await (await relay.next_peer()).register()
        await eventually(lambda: link.status.state is State.CONNECTED)


async def test_a_nap_is_no_reason_to_dial_again(
    relay: ScriptedRelay, rig: LinkRig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("host.relay.link._WAKE_INTERVAL_S", 0.01)
    looks = 0

    def asleep_s() -> float:
        nonlocal looks
        looks += 1
        return 1000.0 if looks == 1 else 1029.0

    link = slow_link(rig, monotonic_s=lambda: 0.0)
    link.asleep_s = asleep_s
    async with running(link):
        await (await relay.next_peer()).register()
        await eventually(lambda: link.status.state is State.CONNECTED)
        await eventually(lambda: looks > 5)
        assert link.status.state is State.CONNECTED
