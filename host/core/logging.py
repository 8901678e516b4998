"""The daemon's log: private, bounded, one line a message, without secrets."""

import contextlib
import contextvars
import json
import logging
import os
import re
from io import TextIOWrapper
from logging.handlers import RotatingFileHandler
from pathlib import Path
from typing import Final, TextIO

from host.core.clock import rfc3339
from host.core.home import PRIVATE_FILE, HostPaths
from host.core.redaction import Redactor

MAX_LOG_BYTES: Final = 5 * 1024 * 1024
KEPT_LOGS: Final = 5
MAX_MESSAGE_CHARS: Final = 8 * 1024
MAX_TRACEBACK_CHARS: Final = 32 * 1024

_QUIET_LOGGERS: Final = ("aiohttp", "asyncio", "websockets")
# What ends a line or steers a terminal, the writing-direction marks among it.
_UNPRINTABLE: Final = re.compile("[\x00-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")

# The request that is being worked on; every message that is logged meanwhile bears it.
request_id: Final = contextvars.ContextVar("request_id", default="")

_redactor: Final = Redactor()


def redact(secret: str) -> None:
    """Never log ``secret`` from now on. The last 64 are remembered, those under 6 characters are not."""
    _redactor.add(secret)


def configure_logging(paths: HostPaths | None, level: str, *, foreground: bool, form: str = "text") -> None:
    """Send every logger's messages to the log file (with ``paths``) and to stderr (in the ``foreground``).

    The file has lines of ``text``, or of ``json``, by its ``form``. ``level`` is error, warning, info or
    debug. What was configured before is replaced. Raises OSError if the log can't be opened; once it is, no
    failure to write ever reaches the caller.
    """
    handlers: list[logging.Handler] = []
    if paths is not None:
        handlers.append(PrivateRotatingFileHandler(paths.log_file))
        handlers[-1].setFormatter(JsonFormatter(_redactor) if form == "json" else LineFormatter(_redactor))
    if foreground:
        handlers.append(QuietStreamHandler())
        handlers[-1].setFormatter(LineFormatter(_redactor))
    threshold = getattr(logging, level.upper())
    logging.basicConfig(level=threshold, handlers=handlers or [logging.NullHandler()], force=True)
    for name in _QUIET_LOGGERS:
        logging.getLogger(name).setLevel(max(threshold, logging.WARNING))


class LineFormatter(logging.Formatter):
    """``2026-02-12T10:00:00.123Z INFO host.relay.link [requestId] Message``; a traceback follows, indented.

    Nothing that a message or an exception holds can begin a line of its own, so nobody can forge an entry.
    """

    def __init__(self, redactor: Redactor) -> None:
        super().__init__()
        self._redactor = redactor

    def format(self, record: logging.LogRecord) -> str:
        about = f"[{_escape(request_id.get())}] " if request_id.get() else ""
        head = f"{rfc3339(record.created)} {record.levelname} {record.name} {about}"
        return head + _escape(self._message(record)) + "".join(f"\n  {line}" for line in self._traceback(record))

    def _message(self, record: logging.LogRecord) -> str:
        return _cut(self._redactor.clean(record.getMessage()), MAX_MESSAGE_CHARS)

    def _traceback(self, record: logging.LogRecord) -> list[str]:
        if not record.exc_info:
            return []
        text = _cut(self._redactor.clean(self.formatException(record.exc_info)), MAX_TRACEBACK_CHARS)
        return [_escape(line) for line in text.split("\n")]


class JsonFormatter(LineFormatter):
    """The same as an object a line: ``at``, ``level``, ``logger``, ``message``, and ``requestId``, ``traceback``."""

    def format(self, record: logging.LogRecord) -> str:
        entry = {
            "at": rfc3339(record.created),
            "level": record.levelname,
            "logger": record.name,
            "requestId": request_id.get(),
            "message": self._message(record),
            "traceback": "\n".join(self._traceback(record)),
        }
        return json.dumps({name: value for name, value in entry.items() if value})


class QuietStreamHandler(logging.StreamHandler[TextIO]):
    """Writes to stderr; a terminal that went away loses messages and nothing else."""

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 - the base class's name
        pass


class PrivateRotatingFileHandler(RotatingFileHandler):
    """Five files of 5 MB besides the current one, each 0600 whatever the umask is."""

    def __init__(self, path: Path, *, max_bytes: int = MAX_LOG_BYTES, kept: int = KEPT_LOGS) -> None:
        super().__init__(path, maxBytes=max_bytes, backupCount=kept, encoding="utf-8", errors="backslashreplace")

    def _open(self) -> TextIOWrapper:
        return open(self.baseFilename, "a", encoding=self.encoding, errors=self.errors, opener=_open_private)

    def emit(self, record: logging.LogRecord) -> None:
        """Somebody who tidies up may have removed the file: the next message makes it anew."""
        if not os.path.exists(self.baseFilename):
            self._let_go()
        super().emit(record)

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 - the base class's name
        """A full disk loses messages and nothing else. The next message opens the file anew."""
        self._let_go()

    def _let_go(self) -> None:
        stream, self.stream = self.stream, None  # the base class opens None anew
        if stream is not None:
            with contextlib.suppress(OSError):
                stream.close()


def _open_private(path: str, flags: int) -> int:
    descriptor = os.open(path, flags, PRIVATE_FILE)
    os.fchmod(descriptor, PRIVATE_FILE)
    return descriptor


def _cut(text: str, limit: int) -> str:
    return text if len(text) <= limit else text[:limit] + "…"


def _escape(text: str) -> str:
    return _UNPRINTABLE.sub(lambda found: found[0].encode("unicode_escape").decode(), text)
