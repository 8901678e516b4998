"""How the CLI asks the daemon. Lean, because ``pocketcoder status`` waits for its imports.

The token is shown only to a listener that has proved, on the same TCP connection, that it knows it.
"""

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager

from host.control_plane.challenge import CHALLENGE_HEADER, PROOF_HEADER, is_proof
from host.control_plane.http_connection import BrokenAnswer, HttpAnswer, HttpConnection
from host.core.errors import ForPeople
from host.core.home import HostPaths
from host.core.instance_lock import holder

DEFAULT_TIMEOUT_S = 10.0

_MAX_TOKEN_BYTES = 1024


class ControlError(ForPeople):
    """The daemon could not be asked. The message is a sentence for a person."""


class DaemonNotRunning(ControlError):
    """Nobody holds the daemon's lock."""

    def __init__(self) -> None:
        super().__init__("The daemon is not running. Start it with: pocketcoder start")


class ForeignListener(ControlError):
    """A daemon runs, but who listens on the control port is not it."""

    def __init__(self, port: int) -> None:
        super().__init__(
            f"Port {port} is taken by another program, which is not PocketCoder's daemon. Free the port, or restart "
            "the daemon with POCKETCODER_CONTROL_PORT set to another one, here and there."
        )


class DaemonUnresponsive(ControlError):
    """The daemon runs but gave no whole answer."""

    def __init__(self, pid: int, port: int) -> None:
        super().__init__(
            f"The daemon (process {pid}) does not answer on port {port}. It may be starting or stopping: try again in "
            "a moment. If it was started with another POCKETCODER_CONTROL_PORT, set the same one here. If it stays "
            f"silent, end it with: kill -9 {pid}"
        )


class OtherVersion(ControlError):
    """The daemon runs on from before an upgrade, and answers otherwise than this program expects."""

    def __init__(self) -> None:
        super().__init__(
            "The daemon is of another version than this command, as after an upgrade. Restart it with: "
            "pocketcoder stop && pocketcoder start"
        )


class Refused(ControlError):
    """The daemon, or what it would have asked, said no; the message is its own."""


class Answer:
    """An HTTP status and the body's bytes, JSON unless empty. Refusals are answers as well."""

    __slots__ = ("body", "status")

    def __init__(self, status: int, body: bytes) -> None:
        self.status = status
        self.body = body


class ControlClient:
    """Asks the daemon that holds the lock of this home, on the given port of 127.0.0.1."""

    def __init__(self, paths: HostPaths, port: int) -> None:
        self._paths = paths
        self._port = port

    def request(self, method: str, path: str, body: object = None, *, timeout_s: float = DEFAULT_TIMEOUT_S) -> Answer:
        """Send one request; ``path`` is percent-encoded, ``body`` becomes JSON unless it is None.

        ``timeout_s`` bounds everything. Raises DaemonNotRunning, ForeignListener, DaemonUnresponsive,
        Refused for a body that is no Unicode, what ``holder`` raises, and ValueError for a path that is
        not percent-encoded.
        """
        if not (path.isascii() and path.isprintable()) or " " in path:
            raise ValueError("The path is not percent-encoded.")
        pid = holder(self._paths.pid_file)
        if pid is None:
            raise DaemonNotRunning
        content = _encoded(body)
        try:
            answer = self._ask(method, path, content, timeout_s)
        except (OSError, BrokenAnswer) as exc:
            raise DaemonUnresponsive(pid, self._port) from exc
        return Answer(answer.status, answer.body)

    def _ask(self, method: str, path: str, content: bytes, timeout_s: float) -> HttpAnswer:
        connection = HttpConnection(self._port, timeout_s=timeout_s)
        try:
            token = self._authenticate(connection)
            headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json", "Connection": "close"}
            return connection.request(method, path, headers, content)
        finally:
            connection.close()

    def _authenticate(self, connection: HttpConnection) -> str:
        """Return the token once the listener has proved that it knows it."""
        challenge = os.urandom(32).hex()
        try:
            answer = connection.request("GET", "/health", {CHALLENGE_HEADER: challenge})
        except (ConnectionError, BrokenAnswer) as exc:
            raise self._not_the_daemon() from exc
        # Read only now: a daemon writes its token before it listens, so this is the token of who answered.
        token = self._read_token()
        if not is_proof(answer.headers.get(PROOF_HEADER.lower(), ""), token, self._port, challenge):
            raise self._not_the_daemon()
        return token

    def _not_the_daemon(self) -> ControlError:
        """A daemon that ended meanwhile also breaks its connections."""
        return DaemonNotRunning() if holder(self._paths.pid_file) is None else ForeignListener(self._port)

    def _read_token(self) -> str:
        with open(self._paths.control_token, "rb") as file:
            return file.read(_MAX_TOKEN_BYTES).decode("ascii", errors="replace")


def _encoded(body: object) -> bytes:
    try:
        return b"" if body is None else json.dumps(body, ensure_ascii=False).encode()
    except UnicodeEncodeError as exc:
        raise Refused(
            "What you wrote is not valid UTF-8, and the running daemon takes nothing else. Write it in UTF-8, or "
            "do it while the daemon is stopped: pocketcoder stop"
        ) from exc


@contextmanager
def understood() -> Iterator[None]:
    """Around the reading of an answer: raises OtherVersion for one that lacks something."""
    try:
        yield
    except (KeyError, ValueError) as exc:
        raise OtherVersion from exc


def checked(answer: Answer) -> Answer:
    """The answer, unless the daemon refused: raises Refused with its words."""
    if answer.status >= 400:
        raise Refused(json.loads(answer.body)["error"]["message"])
    return answer
