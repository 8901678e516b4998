"""Is there a way to the relay: name, TLS, the relay itself, and do the clocks agree."""

import socket
import ssl
import time
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from http.client import HTTPConnection, HTTPException, HTTPSConnection
from typing import Final
from urllib.parse import urlsplit

from host.doctor.finding import Finding, Patient, ok

_TIMEOUT_S: Final = 8.0
_TOLERATED_S: Final = 300.0


def name(patient: Patient) -> Finding:
    host, port, _ = _place(patient)
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
    except ssl.SSLCertVerificationError as exc:
        return Finding(
            "broken",
            f"The TLS certificate of {host} is not trusted: {exc.verify_message}.",
            "Have the relay use a certificate for its name, or name its authority in SSL_CERT_FILE.",
        )
    except (OSError, HTTPException):
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
    """The relay's date, and how long the answer took. Raises OSError and HTTPException."""
    host, port, is_encrypted = _place(patient)
    connection = (HTTPSConnection if is_encrypted else HTTPConnection)(host, port, timeout=_TIMEOUT_S)
    began_s = time.monotonic()
    try:
        connection.request("GET", "/health")
        answer = connection.getresponse()
        answer.read(4096)
        if answer.status != 200:
            raise HTTPException
        return answer.getheader("Date") or "", time.monotonic() - began_s
    finally:
        connection.close()


def _place(patient: Patient) -> tuple[str, int, bool]:
    parts = urlsplit(patient.relay_url)
    is_encrypted = parts.scheme == "wss"
    return parts.hostname or "", parts.port or (443 if is_encrypted else 80), is_encrypted
