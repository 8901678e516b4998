import io
import logging
import os
import re
import stat
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from host.core.home import HostPaths, prepare_home
from host.core.logging import MAX_MESSAGE_CHARS, LineFormatter, PrivateRotatingFileHandler, configure_logging, redact
from host.core.redaction import Redactor

TOKEN = "s3cret-value-that-nobody-may-see"


@pytest.fixture
def paths(tmp_path: Path) -> HostPaths:
    paths = HostPaths(tmp_path)
    prepare_home(paths)
    return paths


@pytest.fixture(autouse=True)
def root_logger() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    root.handlers[:] = []
    yield
    for handler in root.handlers:
        handler.close()
    root.handlers[:] = handlers
    root.setLevel(level)


def format_record(message: str, *args: object, error: BaseException | None = None) -> str:
    exc_info = (type(error), error, error.__traceback__) if error is not None else None
    record = logging.LogRecord("host.relay.link", logging.INFO, __file__, 1, message, args, exc_info)
    record.created = 1770890400.123
    return LineFormatter(Redactor()).format(record)


def test_a_message_is_one_line_with_time_level_and_name() -> None:
    assert format_record("Hello %s", "you") == "2026-02-12T10:00:00.123Z INFO host.relay.link Hello you"


@pytest.mark.parametrize(
    "ending", ["\n", "\r", "\r\n", "\x0b", "\x0c", "\x85", "\u2028", "\x1b[2J", "\u202e", "\ud800"]
)
def test_a_peers_text_can_not_begin_a_line_of_its_own_or_steer_a_terminal(ending: str) -> None:
    line = format_record("peer says %s", f"x{ending}2026-02-12T10:00:00.123Z INFO forged")

    assert len(line.splitlines()) == 1
    assert ending[0] not in line


def test_a_traceback_is_indented_so_that_it_forges_no_entry() -> None:
    try:
        raise ValueError("first\n2026-02-12T10:00:00.123Z ERROR host forged")
    except ValueError as exc:
        lines = format_record("failed", error=exc).splitlines()

    assert len(lines) > 3
    assert all(line.startswith("  ") for line in lines[1:])


def test_a_long_message_is_cut() -> None:
    assert len(format_record("x" * 1_000_000)) < MAX_MESSAGE_CHARS + 100


def test_the_log_file_is_private_also_after_rotation_and_whatever_the_umask_is(tmp_path: Path) -> None:
    before = os.umask(0o000)
    try:
        handler = PrivateRotatingFileHandler(tmp_path / "daemon.log", max_bytes=200, kept=2)
        for number in range(50):
            handler.handle(logging.LogRecord("host", logging.INFO, __file__, 1, f"message {number:03}", (), None))
        handler.close()
    finally:
        os.umask(before)

    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in tmp_path.iterdir()}
    assert modes == {"daemon.log": 0o600, "daemon.log.1": 0o600, "daemon.log.2": 0o600}
    assert sum(path.stat().st_size for path in tmp_path.iterdir()) <= 600


def test_a_full_disk_loses_messages_but_breaks_nothing(tmp_path: Path) -> None:
    handler = PrivateRotatingFileHandler(tmp_path / "daemon.log")
    logger = logging.getLogger("host.test")
    logging.getLogger().addHandler(handler)
    logging.getLogger().setLevel(logging.INFO)
    handler.close()
    handler.stream = open("/dev/full", "w")  # noqa: SIM115 - the handler closes it

    logger.info("lost")
    logger.info("written again")

    handler.close()
    assert (tmp_path / "daemon.log").read_text() == "written again\n"


def test_a_log_that_was_removed_is_made_anew(tmp_path: Path) -> None:
    path = tmp_path / "logs" / "daemon.log"
    path.parent.mkdir()
    handler = PrivateRotatingFileHandler(path)
    logger = logging.getLogger("host.test")
    logging.getLogger().addHandler(handler)
    logging.getLogger().setLevel(logging.INFO)

    logger.info("removed")
    path.unlink()
    logger.info("seen")
    path.unlink()
    path.parent.rmdir()
    logger.info("nowhere to go")
    path.parent.mkdir()
    logger.info("seen again")

    handler.close()
    assert path.read_text() == "seen again\n"


def test_a_closed_stderr_breaks_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    closed = io.StringIO()
    closed.close()
    monkeypatch.setattr(sys, "stderr", closed)
    configure_logging(None, "info", foreground=True)

    logging.getLogger("host.test").info("nobody reads this")


def test_the_file_gets_everything_and_the_foreground_sees_it_too(
    paths: HostPaths, capsys: pytest.CaptureFixture[str]
) -> None:
    configure_logging(paths, "info", foreground=True)
    logging.getLogger("host.test").info("to both")

    assert re.fullmatch(r"\S+Z INFO host.test to both\n", paths.log_file.read_text())
    assert capsys.readouterr().err == paths.log_file.read_text()


def test_the_background_writes_to_the_file_only(paths: HostPaths, capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging(paths, "info", foreground=False)
    logging.getLogger("host.test").info("to the file")

    assert "to the file" in paths.log_file.read_text()
    assert capsys.readouterr().err == ""


def test_configuring_again_replaces_what_was_configured(paths: HostPaths) -> None:
    configure_logging(paths, "info", foreground=False)
    configure_logging(paths, "info", foreground=False)
    logging.getLogger("host.test").info("once")

    assert paths.log_file.read_text().count("once") == 1


@pytest.mark.parametrize(("level", "expected"), [("debug", "WEDI"), ("info", "WEI"), ("warning", "WE"), ("error", "E")])
def test_the_level_decides_and_libraries_never_say_less_than_a_warning(
    paths: HostPaths, level: str, expected: str
) -> None:
    configure_logging(paths, level, foreground=False)
    for name in ("host.test", "websockets.client", "aiohttp.server", "asyncio"):
        for number in (logging.DEBUG, logging.INFO, logging.WARNING, logging.ERROR):
            logging.getLogger(name).log(number, "said")

    lines = [line.split()[1:3] for line in paths.log_file.read_text().splitlines()]
    assert {said[0] for said, name in lines if name == "host.test"} == set(expected)
    assert {said[0] for said, name in lines if name != "host.test"} == set(expected) & set("WE")


def test_a_secret_is_in_no_message_and_in_no_traceback(paths: HostPaths) -> None:
    redact(TOKEN)
    configure_logging(paths, "info", foreground=False)
    try:
        raise ValueError(f"refused {TOKEN}")
    except ValueError:
        logging.getLogger("host.test").exception("Sent %s.", TOKEN)

    text = paths.log_file.read_text()
    assert TOKEN not in text
    assert text.count("[redacted]") == 2
