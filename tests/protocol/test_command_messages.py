"""What a phone may ask of commands."""

import json
from typing import Any

import pytest

from host.protocol.catalog import CATALOG, COMMAND_EXEC, COMMAND_EXIT
from host.protocol.errors import InvalidRequest
from host.protocol.limits import COMMAND_TIMEOUT_DEFAULT_MS, COMMAND_TIMEOUT_MAX_MS, MAX_COMMAND_CHARS
from host.protocol.messages.base import Request, parse_request
from host.protocol.messages.commands import CommandCancel, CommandExec, CommandRunsList


def faults(model: type[Request], payload: dict[str, Any]) -> list[str]:
    with pytest.raises(InvalidRequest) as raised:
        parse_request(model, json.dumps(payload).encode())
    return [error["field"] for error in raised.value.details["errors"]]


def test_a_command_has_two_minutes_unless_it_says_otherwise() -> None:
    request = parse_request(CommandExec, b'{"command":"make"}')
    assert (request.timeout_ms, request.env) == (120_000, None)
    assert COMMAND_TIMEOUT_DEFAULT_MS == 120_000


@pytest.mark.parametrize(
    "payload",
    [
        {"command": ""},
        {"command": "for i in 1 2\ndo echo 'ü'\ndone\n"},
        {"command": "make", "timeoutMs": 100},
        {"command": "make", "timeoutMs": 3_600_000},
        {"command": "make", "env": None},
        {"command": "make", "env": {"A": "", "a b": "1=2\n"}},
        {"command": "x" * MAX_COMMAND_CHARS},
    ],
)
def test_commands_that_are_taken(payload: dict[str, Any]) -> None:
    assert parse_request(CommandExec, json.dumps(payload).encode()).command == payload["command"]


@pytest.mark.parametrize(
    ("payload", "fields"),
    [
        ({}, ["command"]),
        ({"command": None}, ["command"]),
        ({"command": ["ls"]}, ["command"]),
        ({"command": "a\0b"}, ["command"]),
        ({"command": "x" * (MAX_COMMAND_CHARS + 1)}, ["command"]),
        ({"command": "ls", "timeoutMs": 99}, ["timeoutMs"]),
        ({"command": "ls", "timeoutMs": COMMAND_TIMEOUT_MAX_MS + 1}, ["timeoutMs"]),
        ({"command": "ls", "timeoutMs": "1000"}, ["timeoutMs"]),
        ({"command": "ls", "timeoutMs": None}, ["timeoutMs"]),
        ({"command": "ls", "env": ["A=1"]}, ["env"]),
        ({"command": "ls", "env": {"A": 1}}, ["env.A"]),
        ({"command": "ls", "env": {"A": "a\0"}}, ["env.A"]),
    ],
)
def test_commands_that_are_refused(payload: dict[str, Any], fields: list[str]) -> None:
    assert faults(CommandExec, payload) == fields


@pytest.mark.parametrize("name", ["", "=", "A=B", "A\0"])
def test_names_that_no_variable_can_have_are_refused(name: str) -> None:
    (field,) = faults(CommandExec, {"command": "ls", "env": {name: "1"}})
    assert field.startswith("env.")


def test_a_run_is_named_by_an_id_that_a_request_can_have() -> None:
    assert faults(CommandCancel, {"requestId": ""}) == ["requestId"]
    assert faults(CommandCancel, {"requestId": "x" * 129}) == ["requestId"]
    assert faults(CommandRunsList, {"before": 7, "limit": 0}) == ["limit", "before"]
    assert parse_request(CommandRunsList, b'{"before":null}') == CommandRunsList(limit=50, before=None)


def test_a_command_is_remembered_and_answered_by_its_exit() -> None:
    entry = CATALOG[COMMAND_EXEC]
    assert (entry.changes, entry.response_type) == (True, COMMAND_EXIT)
    assert not any(CATALOG[name].changes for name in ("command_cancel", "command_runs_list", "events_read"))
