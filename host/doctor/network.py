"""Is there a way to the relay: name, TLS, the relay itself, and do the clocks agree."""

import socket
import ssl
import time
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from http.client import HTTPException
from typing import Final
from urllib.parse import urlsplit
from urllib.request import HTTPSHandler, ProxyHandler, build_opener

from host.doctor.finding import Finding, Patient, ok
from host.relay.transport import proxy_of, system_trust

_TIMEOUT_S: Final = 8.0
_TOLERATED_S: Final = 300.0


def name(patient: Patient) -> Finding:
    host, port, _ = _place(patient)
    if proxy_of(patient.relay_url):
        return ok(f"{host} is looked up by this system's proxy.")
    try:
        socket.getaddrinfo(host, port)
    except OSError:
        return Finding(
            "broken",
            f"The relay's name, {host}, can't be resolved.",
            "Check the network, and the address: pocketcoder login --relay URL",
        )
    return ok(f"{host} is found.")


def reachable(patient: Patient) -> Finding:
    host, port, is_encrypted = _place(patient)
    try:
        _asked(patient)
    except (OSError, HTTPException) as exc:
        if isinstance(cause := getattr(exc, "reason", exc), ssl.SSLCertVerificationError):
            return Finding(
                "broken",
                f"The TLS certificate of {host} is not trusted: {cause.verify_message}.",
                "Have the relay use a certificate for its name, or name its authority in SSL_CERT_FILE.",
            )
        return Finding(
            "broken",
            f"Nothing that is a relay answers at {host} port {port}{' over TLS' if is_encrypted else ''}.",
            "Start the relay, check that no firewall or proxy is in between, or sign in elsewhere: "
            "pocketcoder login --relay URL",
        )
    return ok(f"The relay at {patient.relay_url} answers.")


def clock(patient: Patient) -> Finding:
    try:
        date, took_s = _asked(patient)
        off_s = abs(time.time() - took_s / 2 - parsedate_to_datetime(date).timestamp())
    except (OSError, HTTPException, ValueError, TypeError):
        return Finding("unknown", "The clock could not be compared with the relay's.")
    if off_s <= _TOLERATED_S:
        return ok("The clock agrees with the relay's.")
    return Finding(
        "warning",
        f"This machine's clock, {datetime.now(UTC):%Y-%m-%d %H:%M}Z, is {off_s / 60:,.0f} minutes off the relay's.",
        "sudo timedatectl set-ntp true",
    )


def _asked(patient: Patient) -> tuple[str, float]:
    """The relay's date, and how long the answer took; on the daemon's own way. Raises OSError and HTTPException."""
    proxy = proxy_of(patient.relay_url)
    proxies = ProxyHandler({"http": proxy, "https": proxy} if proxy else {})
    opener = build_opener(proxies, HTTPSHandler(context=system_trust()))
    began_s = time.monotonic()
    # wss is https, and ws is http.
    with opener.open(f"{patient.relay_url.replace('ws', 'http', 1)}/health", timeout=_TIMEOUT_S) as answer:
        answer.read(4096)
        return answer.headers.get("Date", ""), time.monotonic() - began_s


def _place(patient: Patient) -> tuple[str, int, bool]:
    parts = urlsplit(patient.relay_url)
    is_encrypted = parts.scheme == "wss"
    return parts.hostname or "", parts.port or (443 if is_encrypted else 80), is_encrypted
