"""The daemon's log: private, bounded, one line a message, without secrets."""

import contextlib
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

_redactor: Final = Redactor()


def redact(secret: str) -> None:
    """Never log ``secret`` from now on. The last 64 are remembered, those under 6 characters are not."""
    _redactor.add(secret)


def configure_logging(paths: HostPaths | None, level: str, *, foreground: bool) -> None:
    """Send every logger's messages to the log file (with ``paths``) and to stderr (in the ``foreground``).

    ``level`` is error, warning, info or debug. What was configured before is replaced. Raises
    OSError if the log can't be opened; once it is, no failure to write ever reaches the caller.
    """
    handlers: list[logging.Handler] = []
    if paths is not None:
        handlers.append(PrivateRotatingFileHandler(paths.log_file))
    if foreground:
        handlers.append(QuietStreamHandler())
    threshold = getattr(logging, level.upper())
    logging.basicConfig(level=threshold, handlers=handlers or [logging.NullHandler()], force=True)
    for handler in handlers:
        handler.setFormatter(LineFormatter(_redactor))
    for name in _QUIET_LOGGERS:
        logging.getLogger(name).setLevel(max(threshold, logging.WARNING))


class LineFormatter(logging.Formatter):
    """``2026-02-12T10:00:00.123Z INFO host.relay.link Message``; a traceback follows, indented.

    Nothing that a message or an exception holds can begin a line of its own, so nobody can forge an entry.
    """

    def __init__(self, redactor: Redactor) -> None:
        super().__init__()
        self._redactor = redactor

    def format(self, record: logging.LogRecord) -> str:
        head = f"{rfc3339(record.created)} {record.levelname} {record.name} "
        return head + self._message(record) + self._traceback(record)

    def _message(self, record: logging.LogRecord) -> str:
        return _escape(_cut(self._redactor.clean(record.getMessage()), MAX_MESSAGE_CHARS))

    def _traceback(self, record: logging.LogRecord) -> str:
        if not record.exc_info:
            return ""
        text = _cut(self._redactor.clean(self.formatException(record.exc_info)), MAX_TRACEBACK_CHARS)
        return "".join(f"\n  {_escape(line)}" for line in text.split("\n"))


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

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 - the base class's name
        """A full disk loses messages and nothing else. The next message opens the file anew."""
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
