"""The relay with a certificate of its own."""

import asyncio
import logging
import ssl
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from urllib.parse import urlsplit

import aiohttp
import pytest
import trustme
import uvloop

from relay_stub.tls import TlsFiles, TlsUnusable, follow_files, tls_context
from tests.support.processes import eventually
from tests.support.relay import BOUND_S, running_relay


@pytest.fixture
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
def files(tmp_path: Path, authority: trustme.CA) -> TlsFiles:
    files = TlsFiles(tmp_path / "cert.pem", tmp_path / "key.pem")
    issue(authority, files)
    return files


def issue(authority: trustme.CA, files: TlsFiles) -> None:
    """Renew the certificate as ACME clients do, file by file."""
    issued = authority.issue_cert("127.0.0.1")
    files.certificate.write_bytes(b"".join(blob.bytes() for blob in issued.cert_chain_pems))
    files.key.write_bytes(issued.private_key_pem.bytes())


def trusting(authority: trustme.CA, version: ssl.TLSVersion = ssl.TLSVersion.MAXIMUM_SUPPORTED) -> ssl.SSLContext:
    context = ssl.create_default_context()
    authority.configure_trust(context)
    context.maximum_version = version
    return context


async def certificate(url: str, authority: trustme.CA) -> bytes:
    """Of the certificate that the relay shows to a new connection."""
    parts = urlsplit(url)
    _, writer = await asyncio.open_connection(parts.hostname, parts.port, ssl=trusting(authority))
    shown: bytes = writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
    writer.close()
    return shown


async def test_pages_and_websockets_are_served_encrypted(
    tmp_path: Path, files: TlsFiles, authority: trustme.CA
) -> None:
    async with running_relay(tmp_path / "relay", tls=files) as url:
        assert url.startswith("https://127.0.0.1:")
        connector = aiohttp.TCPConnector(ssl=trusting(authority))
        async with aiohttp.ClientSession(connector=connector) as http:
            async with http.get(f"{url}/health") as response:
                assert response.status == 200
            async with http.ws_connect(f"{url}/ws/daemon") as socket:
                request = {"type": "device_authorize", "requestId": "1", "payload": {"clientId": "pocketcoder-host"}}
                await socket.send_json(request)
                answer = await socket.receive_json()
                assert answer["payload"]["verificationUri"] == f"{url}/oauth/device"


def test_older_than_tls_1_2_is_not_spoken(files: TlsFiles) -> None:
    assert tls_context(files).minimum_version == ssl.TLSVersion.TLSv1_2


async def test_who_does_not_speak_tls_is_sent_away(tmp_path: Path, files: TlsFiles) -> None:
    async with running_relay(tmp_path / "relay", tls=files) as url:
        parts = urlsplit(url)
        reader, writer = await asyncio.open_connection(parts.hostname, parts.port)
        writer.write(b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n")
        with suppress(ConnectionError):
            assert b"200" not in await asyncio.wait_for(reader.read(), BOUND_S)
        writer.close()


@pytest.mark.parametrize("new_loop", [asyncio.new_event_loop, uvloop.new_event_loop], ids=["asyncio", "uvloop"])
def test_who_never_makes_the_handshake_is_counted_as_a_connection(
    tmp_path: Path, files: TlsFiles, authority: trustme.CA, new_loop: Callable[[], asyncio.AbstractEventLoop]
) -> None:
    """Else one stranger could have all the connections that the system allows."""

    async def play() -> None:
        async with running_relay(tmp_path / "relay", tls=files, max_connections_per_address=2) as url:
            parts = urlsplit(url)
            silent = [await asyncio.open_connection(parts.hostname, parts.port) for _ in range(2)]
            reader, one_too_many = await asyncio.open_connection(parts.hostname, parts.port)
            with suppress(ConnectionError):
                assert await asyncio.wait_for(reader.read(), BOUND_S) == b""
            one_too_many.close()
            for said, (_, writer) in zip((b"", b"no handshake"), silent, strict=True):
                writer.write(said)
                writer.close()
            # Whoever left it, or failed in it, has given the place back.
            async with asyncio.timeout(BOUND_S):
                for _ in range(3):
                    while await shown_or_none(url, authority) is None:
                        pass

    with asyncio.Runner(loop_factory=new_loop) as runner:
        runner.run(play())


async def shown_or_none(url: str, authority: trustme.CA) -> bytes | None:
    try:
        return await certificate(url, authority)
    except ConnectionError:
        return None


async def test_a_relay_that_stops_waits_for_no_handshake(tmp_path: Path, files: TlsFiles) -> None:
    async with running_relay(tmp_path / "relay", tls=files) as url:
        parts = urlsplit(url)
        reader, writer = await asyncio.open_connection(parts.hostname, parts.port)
    with suppress(ConnectionError):
        assert await asyncio.wait_for(reader.read(), BOUND_S / 2) == b""
    writer.close()


async def test_a_renewed_certificate_is_used_without_a_restart(
    tmp_path: Path, files: TlsFiles, authority: trustme.CA, caplog: pytest.LogCaptureFixture
) -> None:
    context = tls_context(files)
    server = await asyncio.start_server(lambda _, writer: writer.close(), "127.0.0.1", 0, ssl=context)
    url = f"https://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    following = asyncio.create_task(follow_files(context, files, interval_s=0.01))
    try:
        first = await certificate(url, authority)
        # The certificate is there already, its key is still to come.
        caplog.set_level(logging.WARNING)
        renewed = authority.issue_cert("127.0.0.1")
        files.certificate.write_bytes(b"".join(blob.bytes() for blob in renewed.cert_chain_pems))
        await asyncio.to_thread(eventually, lambda: "The old certificate stays in use" in caplog.text)
        assert await certificate(url, authority) == first
        files.key.write_bytes(renewed.private_key_pem.bytes())
        async with asyncio.timeout(BOUND_S):
            while await certificate(url, authority) == first:
                pass
    finally:
        following.cancel()
        server.close()


@pytest.mark.parametrize("broken", ["missing", "rubbish", "another key"])
def test_what_cannot_be_used_is_named(files: TlsFiles, broken: str) -> None:
    if broken == "missing":
        files.certificate.unlink()
    elif broken == "rubbish":
        files.certificate.write_text("rubbish")
    else:
        files.key.write_bytes(trustme.CA().issue_cert("127.0.0.1").private_key_pem.bytes())
    with pytest.raises(TlsUnusable, match=r"cert\.pem with the key .*key\.pem cannot be used"):
        tls_context(files)
