"""Which lines ``pocketcoder logs`` shows, of a log as it is really written."""

import json
import logging
from datetime import UTC, datetime
from pathlib import Path

import pytest

from host.cli.logs import LogError, Wanted, last_lines, time_of
from host.core.logging import JsonFormatter, LineFormatter, request_id
from host.core.redaction import Redactor

NOON_S = datetime(2026, 2, 12, 12, tzinfo=UTC).timestamp()


def write_log(path: Path, formatter: logging.Formatter) -> None:
    """At noon: one message a minute and level, the last with a traceback."""
    lines = []
    for minute, level in enumerate((logging.DEBUG, logging.INFO, logging.WARNING, logging.ERROR)):
        record = logging.LogRecord("host.x", level, __file__, 1, "message %d", (minute,), None)
        record.created = NOON_S + 60 * minute
        if level == logging.ERROR:
            try:
                raise ValueError("the cause")
            except ValueError as exc:
                record.exc_info = (ValueError, exc, exc.__traceback__)
        lines.append(formatter.format(record))
    path.write_text("\n".join(lines) + "\n")


@pytest.fixture(params=[LineFormatter, JsonFormatter])
def log(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    path = tmp_path / "daemon.log"
    write_log(path, request.param(Redactor()))
    return path


def shown(log: Path, level: str | None = None, since: str | None = None) -> str:
    return "\n".join(last_lines(log, 100, Wanted(level, since))[0])


def test_without_a_wish_everything_is_shown(log: Path) -> None:
    assert shown(log) == log.read_text().rstrip("\n")


@pytest.mark.parametrize(("level", "messages"), [("debug", 4), ("info", 3), ("warning", 2), ("error", 1)])
def test_a_level_shows_its_messages_and_those_above_with_their_tracebacks(log: Path, level: str, messages: int) -> None:
    text = shown(log, level)
    assert text.count("message ") == messages
    assert "the cause" in text


def test_what_came_before_a_time_is_left_out(log: Path) -> None:
    assert "message 1" not in shown(log, since=time_of("1m", now_s=NOON_S + 180))
    assert shown(log, since=time_of("1m", now_s=NOON_S + 180)).count("message ") == 2
    assert shown(log, since=time_of("2026-02-12T12:03:00+00:00", now_s=0)).count("message ") == 1


def test_what_was_rotated_away_is_shown_before_the_rest_as_far_as_it_is_asked_for(log: Path) -> None:
    texts = [log.read_text().replace("message ", f"{age} ") for age in ("oldest", "older", "newest")]
    for name, text in zip(("daemon.log.2", "daemon.log.1", "daemon.log"), texts, strict=True):
        log.with_name(name).write_text(text)
    lines = [line for text in texts for line in text.splitlines()]
    last = len(texts[2].splitlines())

    assert shown(log).splitlines() == lines
    assert last_lines(log, last + 1, Wanted()) == (lines[-last - 1 :], log.stat().st_size)
    assert [age in shown(log, "error") for age in ("oldest 3", "older 3", "newest 3", "newest 2")] == [True] * 3 + [
        False
    ]

    log.write_text("")
    assert last_lines(log, 2, Wanted()) == (lines[:-last][-2:], 0)


@pytest.mark.parametrize("text", ["yesterday", "", "10", "m", "-5m", "99999999d", "999999d", "0001-01-01"])
def test_what_is_no_time_is_told_with_what_is_one(text: str) -> None:
    with pytest.raises(LogError, match="10m, 2h or 1d"):
        time_of(text, now_s=NOON_S)


def test_the_request_that_is_worked_on_stands_in_every_message() -> None:
    record = logging.LogRecord("host.x", logging.INFO, __file__, 1, "done", (), None)
    token = request_id.set("6b1f\n0")
    try:
        assert "host.x [6b1f\\n0] done" in LineFormatter(Redactor()).format(record)
        assert json.loads(JsonFormatter(Redactor()).format(record))["requestId"] == "6b1f\n0"
    finally:
        request_id.reset(token)


def test_a_secret_is_in_no_member_of_an_object() -> None:
    redactor = Redactor()
    redactor.add("s3cret-value")
    record = logging.LogRecord("host.x", logging.INFO, __file__, 1, "a %s", ("s3cret-value",), None)
    assert "s3cret" not in JsonFormatter(redactor).format(record)
