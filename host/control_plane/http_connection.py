"""As much of an HTTP/1.1 client as the control plane needs, on a bare socket.

``http.client`` alone would take longer to import than ``pocketcoder status`` may take in all.
Everything is bounded: the time by one deadline, the header and the body in bytes.
"""

import socket
import time
from collections.abc import Mapping

HOST = "127.0.0.1"
MAX_HEADER_BYTES = 16 * 1024
MAX_ANSWER_BYTES = 4 * 1024 * 1024

_CHUNK_BYTES = 64 * 1024
_STATUSES_WITHOUT_BODY = (204, 304)


class BrokenAnswer(Exception):
    """The peer closed, or answered something that is no bounded HTTP/1.1 answer."""


class HttpAnswer:
    """``headers`` has lower-case names."""

    __slots__ = ("body", "headers", "status")

    def __init__(self, status: int, headers: Mapping[str, str], body: bytes) -> None:
        self.status = status
        self.headers = headers
        self.body = body


class HttpConnection:
    """One TCP connection to 127.0.0.1, for any number of requests, one after another.

    Every method raises TimeoutError when ``timeout_s``, counted from the making of the
    connection, is over, and OSError when the network fails.
    """

    def __init__(self, port: int, *, timeout_s: float) -> None:
        self._port = port
        self._deadline = time.monotonic() + timeout_s
        self._received = b""
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        try:
            self._socket.settimeout(timeout_s)
            self._socket.connect((HOST, port))
        except BaseException:
            self._socket.close()
            raise

    def close(self) -> None:
        self._socket.close()

    def request(self, method: str, path: str, headers: Mapping[str, str], body: bytes = b"") -> HttpAnswer:
        """Send a request and read the whole answer, whatever its status is. Raises BrokenAnswer as well."""
        lines = [f"{method} {path} HTTP/1.1", f"Host: {HOST}:{self._port}", f"Content-Length: {len(body)}"]
        lines += [f"{name}: {value}" for name, value in headers.items()]
        self._limit_time()
        self._socket.sendall("\r\n".join([*lines, "", ""]).encode("ascii") + body)
        status, answered = _parse_header(self._read_header())
        return HttpAnswer(status, answered, self._read_body(status, answered))

    def _read_header(self) -> bytes:
        while b"\r\n\r\n" not in self._received:
            if len(self._received) > MAX_HEADER_BYTES:
                raise BrokenAnswer("The header is too large.")
            self._receive()
        header, _, self._received = self._received.partition(b"\r\n\r\n")
        return header

    def _read_body(self, status: int, headers: Mapping[str, str]) -> bytes:
        if status in _STATUSES_WITHOUT_BODY:
            return b""
        length = headers.get("content-length", "")
        if not (length.isascii() and length.isdigit() and len(length) < 10) or int(length) > MAX_ANSWER_BYTES:
            raise BrokenAnswer("The body's length is missing or too large.")
        while len(self._received) < int(length):
            self._receive()
        body, self._received = self._received[: int(length)], self._received[int(length) :]
        return body

    def _receive(self) -> None:
        self._limit_time()
        chunk = self._socket.recv(_CHUNK_BYTES)
        if not chunk:
            raise BrokenAnswer("The connection was closed.")
        self._received += chunk

    def _limit_time(self) -> None:
        left_s = self._deadline - time.monotonic()
        if left_s <= 0:
            raise TimeoutError
        self._socket.settimeout(left_s)


def _parse_header(header: bytes) -> tuple[int, dict[str, str]]:
    status_line, *lines = header.decode("latin-1").split("\r\n")
    version, _, rest = status_line.partition(" ")
    status = rest[:3]
    if version != "HTTP/1.1" or not (status.isascii() and status.isdigit() and len(status) == 3):
        raise BrokenAnswer("The answer is not HTTP/1.1.")
    fields = (line.partition(":") for line in lines)
    return int(status), {name.strip().lower(): value.strip() for name, _, value in fields}
