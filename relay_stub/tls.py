"""The relay's own certificate, read again whenever its files change."""

import asyncio
import logging
import ssl
from dataclasses import dataclass
from pathlib import Path
from typing import Final

logger = logging.getLogger(__name__)

LOOK_INTERVAL_S: Final = 10.0


class TlsUnusable(Exception):
    """The certificate or its key can't be used. The message is a full sentence for whoever runs the relay."""


@dataclass(frozen=True)
class TlsFiles:
    """PEM files: the certificate with its chain, and its private key without a passphrase."""

    certificate: Path
    key: Path


def tls_context(files: TlsFiles) -> ssl.SSLContext:
    """TLS 1.2 or newer. Raises TlsUnusable."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    _load(context, files)
    return context


async def follow_files(context: ssl.SSLContext, files: TlsFiles, *, interval_s: float = LOOK_INTERVAL_S) -> None:
    """Use a renewed certificate for new connections, until cancelled; what can't be used leaves the old one."""
    seen = _stamp(files)
    while True:
        await asyncio.sleep(interval_s)
        now = _stamp(files)
        if now != seen:
            seen = now
            try:
                # First into one that nobody uses: a certificate whose key is still to come must not be half loaded.
                tls_context(files)
                _load(context, files)
            except TlsUnusable as exc:
                logger.warning("The old certificate stays in use. %s", exc)


def _load(context: ssl.SSLContext, files: TlsFiles) -> None:
    try:
        context.load_cert_chain(files.certificate, files.key, password=_no_passphrase)
    except (OSError, ValueError) as exc:
        raise TlsUnusable(
            f"The certificate {files.certificate} with the key {files.key} cannot be used. "
            "Both must be readable PEM files that belong together, the key without a passphrase."
        ) from exc


def _no_passphrase() -> str:
    # Without this OpenSSL would ask at the terminal.
    return ""


def _stamp(files: TlsFiles) -> list[tuple[int, int, int] | None]:
    """What tells one state of the files from another."""
    return [_stamp_of(path) for path in (files.certificate, files.key)]


def _stamp_of(path: Path) -> tuple[int, int, int] | None:
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_ino, status.st_mtime_ns, status.st_size
