import json
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from host.protocol import errors
from host.protocol.catalog import (
    CATALOG,
    DEFAULT_TIMEOUT_S,
    is_terminal,
    needs_project,
    request_timeout_s,
)
from host.protocol.errors import ErrorCode, InvalidRequest, ProtocolError, unforeseen
from host.protocol.limits import MAX_PAGE_ITEMS
from host.protocol.messages.agents import AgentSessionNew, AgentSessionsList
from host.protocol.messages.base import Request, encode_payload, parse_request
from host.protocol.messages.commands import CommandExec, CommandRunsList
from host.protocol.messages.files import FsList, FsMove, FsRead, FsWrite, FsWriteResponse
from host.protocol.messages.git import GitDiff, GitLog, GitStage
from host.protocol.messages.system import DaemonRegister

CONTRACTS_CODES = {
    *("UNKNOWN_ERROR", "INVALID_REQUEST", "UNAUTHORIZED", "PROJECT_NOT_FOUND", "FILE_NOT_FOUND", "FILE_TOO_LARGE"),
    *("OUTSIDE_PROJECT_ROOT", "GIT_NOT_INITIALIZED", "COMMAND_TIMEOUT", "DAEMON_BUSY", "CONFLICT", "GIT_FAILED"),
    *("PROJECT_NESTING", "SESSION_NOT_FOUND", "AGENT_UNAVAILABLE", "MACHINE_OFFLINE", "REQUEST_TIMEOUT"),
    *("RATE_LIMITED", "UNSUPPORTED", "AUTHORIZATION_PENDING", "SLOW_DOWN", "ACCESS_DENIED", "EXPIRED_TOKEN"),
}


def faults(model: type[Request], payload: object) -> list[str]:
    """The fields that a payload is refused for."""
    with pytest.raises(InvalidRequest) as raised:
        parse_request(model, json.dumps(payload).encode())
    errors = raised.value.details["errors"]
    assert all(error["reason"] for error in errors)
    assert errors[0]["field"] in raised.value.message
    return [error["field"] for error in errors]


def test_every_wrong_field_is_listed_by_its_name_on_the_wire() -> None:
    assert faults(FsWrite, {"content": 5, "ifMatch": 7, "createDirs": "yes", "encoding": "latin-1"}) == [
        "path",
        "content",
        "encoding",
        "ifMatch",
        "createDirs",
    ]


@pytest.mark.parametrize(
    ("model", "payload", "fields"),
    [
        (FsRead, {}, ["path"]),
        (FsRead, {"path": None}, ["path"]),
        (FsRead, {"path": "a", "offset": -1, "length": 10 * 2**20 + 1}, ["offset", "length"]),
        (FsRead, {"path": "a", "offset": "1"}, ["offset"]),
        (FsRead, {"path": "a", "offset": 1.5}, ["offset"]),
        (FsRead, {"path": "a", "offset": True}, ["offset"]),
        (FsRead, {"path": "a", "offset": 2**63}, ["offset"]),
        (FsList, {"path": "", "depth": 0}, ["depth"]),
        (FsList, {"path": "", "depth": 21}, ["depth"]),
        (FsList, [], ["payload"]),
        (FsList, None, ["payload"]),
        (FsList, "x", ["payload"]),
        (AgentSessionNew, {"content": 5}, ["content", "content"]),
        (AgentSessionNew, {"content": [{"type": "text"}]}, ["content.0.text", "content"]),
        (AgentSessionNew, {"content": [{"type": "text", "text": 5}]}, ["content.0.text", "content"]),
        (AgentSessionNew, {"content": [{"type": "video"}]}, ["content.0", "content"]),
        (AgentSessionNew, {"content": "x", "options": {"allowedTools": [5]}}, ["options.allowedTools.0"]),
        (CommandExec, {"command": "ls", "env": {"A=B": "1"}}, ["env.A=B"]),
        (GitDiff, {"from": 5}, ["from"]),
        (GitStage, {"paths": ["a", 5]}, ["paths.1"]),
    ],
)
def test_wrong_payloads(model: type[Request], payload: object, fields: list[str]) -> None:
    assert faults(model, payload) == fields


def test_only_the_wires_own_names_are_known() -> None:
    assert parse_request(FsWrite, b'{"path":"a","content":"","create_dirs":true,"if_match":null}') == FsWrite(
        path="a", content=""
    )
    assert faults(FsMove, {"from_path": "a", "to_path": "b"}) == ["from", "to"]


@pytest.mark.parametrize("payload", [b"", b"{", b"\xff", b"[" * 100_000, b'{"path":"\\ud800"}', b"{'path':1}"])
def test_what_is_no_json_is_an_invalid_request(payload: bytes) -> None:
    with pytest.raises(InvalidRequest):
        parse_request(FsRead, payload)


@given(st.binary(max_size=100), st.sampled_from(list(CATALOG)))
def test_no_payload_raises_anything_but_invalid_request(payload: bytes, wire_type: str) -> None:
    try:
        parse_request(CATALOG[wire_type].request, payload)
    except InvalidRequest as exc:
        # It has to go out in a frame.
        msgspec.json.encode(exc.to_wire())


def test_a_refusal_repeats_nothing_of_a_secret_payload() -> None:
    with pytest.raises(InvalidRequest) as raised:
        parse_request(DaemonRegister, b'{"token":["s3cret"],"protocolVersion":"s3cret"}')

    assert "s3cret" not in repr(raised.value.to_wire())


def test_members_that_are_not_known_are_ignored() -> None:
    assert parse_request(FsList, b'{"path":"src","later":true}') == FsList(path="src", depth=1)


@pytest.mark.parametrize("model", [GitLog, CommandRunsList, AgentSessionsList])
def test_who_asks_for_more_than_a_page_holds_gets_a_page(
    model: type[GitLog | CommandRunsList | AgentSessionsList],
) -> None:
    assert parse_request(model, b'{"limit":1000000}').limit == MAX_PAGE_ITEMS


def test_null_for_if_match_is_told_apart_from_its_absence() -> None:
    absent = parse_request(FsWrite, b'{"path":"a","content":""}')
    null = parse_request(FsWrite, b'{"path":"a","content":"","ifMatch":null}')

    assert "if_match" not in absent.model_fields_set
    assert "if_match" in null.model_fields_set


def test_names_on_the_wire_are_camel_case() -> None:
    answer = FsWriteResponse(path="a", size=1, modified_at="t", etag="e")

    assert msgspec.json.decode(encode_payload(answer)) == {
        "path": "a",
        "size": 1,
        "modifiedAt": "t",
        "etag": "e",
        "success": True,
    }


@pytest.mark.parametrize("entry", CATALOG.values(), ids=lambda entry: entry.name)
def test_the_catalog_holds_together(entry: Any) -> None:
    assert CATALOG[entry.request.wire_type] is entry
    assert is_terminal("error", request_type=entry.name)
    if entry.response_type == f"{entry.name}_response":
        assert is_terminal(entry.response_type, request_type=entry.name)
    if entry.changes:
        # Only the daemon remembers requests, and only for a project.
        assert entry.answered_by == "daemon"
        assert needs_project(entry.name)


def test_the_hellos_are_answered_in_the_contracts_words() -> None:
    assert CATALOG["daemon_register"].response_type == "daemon_registered"
    assert CATALOG["client_hello"].response_type == "client_welcome"


def test_each_write_of_files_is_remembered_and_no_read_is() -> None:
    files = {name: entry.changes for name, entry in CATALOG.items() if name.startswith("fs_")}

    assert {name for name, changes in files.items() if not changes} == {"fs_list", "fs_read"}


@pytest.mark.parametrize(
    ("wire_type", "timeout_s"),
    [("fs_read", 15), ("git_push", 135), ("git_fetch", 135), ("git_pull", 135), ("git_commit", 60), ("later", 15)],
)
def test_the_relays_time_outs_are_the_contracts(wire_type: str, timeout_s: float) -> None:
    assert request_timeout_s(wire_type) == timeout_s
    assert DEFAULT_TIMEOUT_S == 15


@pytest.mark.parametrize(
    ("wire_type", "needs"),
    [
        *((f"{family}_x", True) for family in ("fs", "git", "command", "agent", "events", "project")),
        *((name, False) for name in ("machines_list", "attention_list", "projects_list", "fsx", "token_refresh")),
    ],
)
def test_which_types_need_a_project_follows_from_their_name(wire_type: str, needs: bool) -> None:
    assert needs_project(wire_type) is needs


def test_only_a_command_is_ended_by_an_exit() -> None:
    assert is_terminal("command_exit", request_type="command_exec")
    assert not is_terminal("command_exit", request_type="fs_read")
    assert not is_terminal("fs_list_response", request_type="fs_read")
    assert not is_terminal("command_output", request_type="command_exec")


def test_the_codes_are_the_contracts() -> None:
    assert {code.value for code in ErrorCode} == CONTRACTS_CODES


def test_every_error_class_has_a_code_and_every_message_is_a_sentence() -> None:
    made_without_words = [
        errors.Unauthorized(),
        errors.ProjectNotFound(),
        errors.OutcomeUnknown(),
        errors.MachineOffline(),
    ]
    for error in made_without_words:
        assert error.message.strip() == error.message != ""
        assert error.message[0].isupper()
    for kind in ProtocolError.__subclasses__():
        assert isinstance(kind.code, ErrorCode)


def test_an_error_without_details_has_no_such_member() -> None:
    assert json.loads(msgspec.json.encode(errors.MachineOffline().to_wire())).keys() == {"code", "message"}
    assert json.loads(msgspec.json.encode(unforeseen())).keys() == {"code", "message"}
